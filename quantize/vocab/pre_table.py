r"""Which structure of a tokenizer.json llama.cpp knows by which name.

A row's `steps` are the pre-tokenizer as `pre.structure` reads it: what the normalizer changes,
then the splits in order (regular expressions; each match is a piece of its own), then the letters
that the model works on. All names of a row cut text in the same way in llama.cpp, too
(src/llama-vocab.cpp); the first is written, unless the architecture has its own (ARCH_NAMES).
Where no public tokenizer.json shows the structure, a row has llama.cpp's patterns in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

# Letters that the model works on.
BYTES = "byte letters"
RAW = "raw letters"

# What comes before the letters, apart from splits.
MARK_SPACES = "spaces become \u2581"
WORDS = "words and signs without the white space between them"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
DIGITS = r"\p{N}+"
THREE = r"\p{N}{1,3}"
PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LINES = r"\s*[\r\n]+"
_SPACES = r"\s+(?!\S)|\s+"

CL100K = rf"{_CONTRACTION}|{_WORD}|{THREE}|{_SIGNS}|{_LINES}|{_SPACES}"
QWEN2 = rf"{_CONTRACTION}|{_WORD}|{DIGIT}|{_SIGNS}|{_LINES}|{_SPACES}"

_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_HEAD = r"[^\r\n\p{L}\p{N}]?"
_PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
CASED = rf"{_HEAD}{_UPPER}*{_LOWER}+{_CONTRACTION}?|{_HEAD}{_UPPER}+{_LOWER}*{_CONTRACTION}?"
O200K = rf"{CASED}|{THREE}|{_PATHS}|{_LINES}|{_SPACES}"
TEKKEN = rf"{_HEAD}{_UPPER}*{_LOWER}+|{_HEAD}{_UPPER}+{_LOWER}*|{DIGIT}|{_PATHS}|{_LINES}|{_SPACES}"

_ASCII_SIGN = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
DEEPSEEK_WORDS = (
    rf"{_ASCII_SIGN}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_LINES}|{_SPACES}"
)
SPARK_WORDS = (
    rf"{_ASCII_SIGN}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+|[\r\n]|{_SPACES}"
)
HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
HAN_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
SIGNS_WIDE = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
BLOOM_WORDS = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
KOREAN_AND_CHINESE = (
    "[\uac00-\ud7a3\u3131-\u318e]+"
    "|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
    f"|[\u3105-\u312f]+|{HAN_KANA}"
)
HALVING_SPACES = "".join(rf"\s{{{count}}}(?!\S)|" for count in (512, 256, 128, 64, 32, 16, 8, 4))

# Letters with case, as DeepSeek's first tokenizer lists them.
CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
    "\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
    "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)


QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}", r"[^\s\p{L}\p{M}")
TURKISH = QWEN2.removeprefix(f"{_CONTRACTION}|")
MINICPM5 = CL100K.replace(THREE, DIGITS)
SEED_CODER = QWEN2.replace(_SIGNS, r" ?[^\s\p{L}\p{N}\r\n]+")
BAILING = QWEN2.replace(_LINES, r"\s*[\r\n]")
KOREAN_WORDS = (
    rf"{_CONTRACTION}|{_HEAD}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|{DIGIT}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|{_SPACES}"
)
YOUTU = O200K.replace(THREE, DIGIT)
KIMI_WORDS = CASED.replace("]*", r"&&[^\p{Han}]]*").replace("]+", r"&&[^\p{Han}]]+")
KIMI = rf"[\p{{Han}}]+|{KIMI_WORDS}|{THREE}|{_SIGNS}|{_LINES}|{_SPACES}"
JAIS2 = CL100K.replace(_SPACES, rf"{HALVING_SPACES}\s{{1,2}}(?!\S)|\s{{1}}")
GROUPED_DIGITS = r"\d{1,3}(?=(?:\d{3})*\b)"
EVERY_THIRD_DIGIT = r"(?=(\d{3})+(?!\d))"
LINE_ENDS = r"[\r\n]"
WHOLE_LINES = r"[^\n]+|[\n]+"
SENTINEL = "<sentinel:[0-9]+>"
IMAGE = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"
INDENT = r"([\t\n]|    |  )"


@dataclass(frozen=True, slots=True)
class PreRow:
    """One structure and its names, separated by spaces.

    `ignore_merges`: the model's flag, where only that tells two rows apart. `roberta`: whether the
    post-processor is RoBERTa's.
    """

    listed: str
    steps: tuple[str, ...]
    ignore_merges: bool | None = None
    roberta: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.listed.split())


ROWS = (
    PreRow("gpt-2 phi-2 mpt olmo jais exaone4 modern-bert mellum gigachat a.x-4.0 trillion "
        "granite-docling jina-v2-es jina-v2-de jina-es jina-de", (GPT2, BYTES)),
    PreRow("roberta-bpe jina-v1-en jina-v2-code", (GPT2, BYTES), roberta=True),
    PreRow("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
        (DIGIT, GPT2, BYTES)),
    PreRow("llama-bpe llama3 llama-v3 glm4 glm5 lfm2 falcon3 falcon-h1 pixtral midm-2.0 "
        "jina-v5-nano", (CL100K, BYTES), ignore_merges=True),
    PreRow("dbrx smaug-bpe chatglm-bpe", (CL100K, BYTES), ignore_merges=False),
    PreRow("minicpm5", (THREE, MINICPM5, BYTES)),
    PreRow("jais-2", (JAIS2, BYTES)),
    PreRow("qwen2 stablelm2 deepseek-r1-qwen hunyuan solar-open megrez kormo f2llmv2 grok-2",
        (QWEN2, BYTES)),
    PreRow("qwen35", (QWEN35, BYTES)),
    PreRow("ufakzeka", (TURKISH, BYTES)),
    PreRow("laguna", (WHOLE_LINES, QWEN2, BYTES)),
    PreRow("seed-coder", (SEED_CODER, BYTES)),
    PreRow("bailingmoe bailingmoe2 llada-moe", (BAILING, BYTES)),
    PreRow("exaone-moe", (KOREAN_WORDS, BYTES)),
    PreRow("gpt-4o llama4 kanana2 talkie minimax-m2", (O200K, BYTES)),
    PreRow("tiny_aya cohere2moe", (GROUPED_DIGITS, O200K, BYTES)),
    PreRow("tekken", (TEKKEN, BYTES)),
    PreRow("youtu", (KOREAN_AND_CHINESE, YOUTU, BYTES)),
    PreRow("kimi-k2", (KIMI, BYTES)),
    PreRow("deepseek-v3 hunyuan-dense joyai-llm hy_v4", (THREE, HAN_KANA, DEEPSEEK_WORDS, BYTES)),
    PreRow("spark2_5", (THREE, HAN_KANA, SPARK_WORDS, DIGIT, BYTES)),
    PreRow("deepseek-llm", (LINE_ENDS, rf"\s?[{CASED_LETTERS}]+", SIGNS_WIDE, r"\s+$", HAN_HANGUL,
                         DIGITS, DIGIT, BYTES)),
    PreRow("deepseek-coder", (LINE_ENDS, r"\s?\p{L}+", r"\s?\p{P}+", HAN_HANGUL, DIGIT, BYTES)),
    PreRow("falcon", (f"{PUNCTUATION}+", GPT2, DIGITS, "[0-9][0-9][0-9]", BYTES)),
    PreRow("chameleon", (SENTINEL, IMAGE, INDENT, DIGIT, PUNCTUATION, GPT2, BYTES)),
    PreRow("superbpe", (DIGITS, EVERY_THIRD_DIGIT, BYTES)),
    PreRow("bloom poro-chat gpt3-finnish", (BLOOM_WORDS, BYTES)),
    PreRow("viking", (BLOOM_WORDS, DIGIT, BYTES)),
    PreRow("gemma4 granite-embed-multi-311m sarvam-moe", (MARK_SPACES, RAW)),
    PreRow("whitespace", (WORDS, RAW)),
)  # fmt: skip

# Names that no tokenizer.json leads to, and why.
OUT_OF_REACH = {
    "default": "llama.cpp's guess for a name that is missing; never written",
    "granite-embed-multi-97m": "its tokenizer.json reads as that of gpt-4o",
    "afmoe": "its rule for digits is a function of llama.cpp, not a pattern",
}

# Architectures whose models llama.cpp's converter gives another name of a row than the first.
ARCH_NAMES = {
    "chatglm": "glm4", "codeshell": "codeshell", "cohere2": "command-r", "command-r": "command-r",
    "exaone": "exaone", "exaone4": "exaone4", "falcon-h1": "falcon-h1",
    "glm4": "glm4", "glm4moe": "glm4", "gptneox": "olmo", "granite": "refact",
    "granitemoe": "refact", "hunyuan-dense": "hunyuan-dense", "hunyuan-moe": "hunyuan",
    "jais": "jais", "lfm2": "lfm2", "lfm2moe": "lfm2", "llama": "smollm", "llama4": "llama4",
    "mamba": "olmo", "minimax-m2": "minimax-m2", "modern-bert": "modern-bert", "mpt": "mpt",
    "olmo": "olmo", "olmoe": "olmo", "phi2": "phi-2", "refact": "refact",
    "stablelm": "stablelm2",
}  # fmt: skip
