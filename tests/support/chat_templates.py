"""Chat templates written from the published descriptions of prompt formats, and what they mean.

A prompt is that of: system "Be brief.", user "Hi", assistant "Hello!", user "Bye"; without the
token that a tokenizer puts before it.
"""

from __future__ import annotations

from typing import NamedTuple


class Classic(NamedTuple):
    jinja: str
    prompt: str


CHATML = Classic(
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n",
)
# What a person would write for it in Ollama's language.
CHATML_IN_GO = (
    "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
    "<|im_start|>{{ .Role }}\n{{ .Content }}"
    '{{ if or (ne .Role "assistant") (not $last) }}<|im_end|>\n{{ end }}'
    '{{ if and $last (ne .Role "assistant") }}<|im_start|>assistant\n{{ end }}{{ end }}'
)
LLAMA2 = Classic(
    "{% set system = messages[0].content if messages[0].role == 'system' else none %}"
    "{% for message in (messages[1:] if system is not none else messages) %}"
    "{% if message.role == 'user' %}{{ bos_token }}[INST] "
    "{% if loop.first and system is not none %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
    "{{ message.content | trim }} [/INST]"
    "{% else %} {{ message.content | trim }} {{ eos_token }}{% endif %}{% endfor %}",
    "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye [/INST]",
)
LLAMA3 = Classic(
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
)
ZEPHYR = Classic(
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] "
    "+ eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% endif %}",
    "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello!</s>\n<|user|>\nBye</s>\n"
    "<|assistant|>\n",
)
_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
VICUNA = Classic(
    "{% if messages[0].role == 'system' %}{{ messages[0].content }} "
    "{% else %}" + _VICUNA + " {% endif %}{% for message in messages %}"
    "{% if message.role == 'user' %}USER: {{ message.content }} "
    "{% elif message.role == 'assistant' %}ASSISTANT: {{ message.content }}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "Be brief. USER: Hi ASSISTANT: Hello!</s>USER: Bye ASSISTANT:",
)
ALPACA = Classic(
    "{% if messages[0].role != 'system' %}Below is an instruction that describes a task. Write a "
    "response that appropriately completes the request.\n\n{% endif %}"
    "{% for message in messages %}{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}### Instruction:\n{{ message.content }}\n\n"
    "{% else %}### Response:\n{{ message.content }}{{ eos_token }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}",
    "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello!</s>\n\n"
    "### Instruction:\nBye\n\n### Response:\n",
)
MISTRAL = Classic(
    "{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}"
    "{{- bos_token -}}{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}{{- '[INST] ' -}}"
    "{%- if loop.last and system -%}{{- system + '\n\n' -}}{%- endif -%}"
    "{{- message.content + '[/INST]' -}}"
    "{%- elif message.role == 'assistant' -%}{{- ' ' + message.content + eos_token -}}"
    "{%- endif -%}{%- endfor -%}",
    "[INST] Hi[/INST] Hello!</s>[INST] Be brief.\n\nBye[/INST]",
)
# Gemma has no place for a system text: it goes before the first user's, as llama.cpp does it.
GEMMA = Classic(
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('no system role') }}{% endif %}{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{{ message.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
)
PHI3 = Classic(
    "{% for message in messages %}{% if message.role == 'system' and message.content %}"
    "{{ '<|system|>\n' + message.content + '<|end|>\n' }}"
    "{% elif message.role == 'user' %}{{ '<|user|>\n' + message.content + '<|end|>\n' }}"
    "{% elif message.role == 'assistant' %}"
    "{{ '<|assistant|>\n' + message.content + '<|end|>\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello!<|end|>\n"
    "<|user|>\nBye<|end|>\n<|assistant|>\n",
)

CLASSICS = {
    "chatml": CHATML,
    "llama2": LLAMA2,
    "llama3": LLAMA3,
    "zephyr": ZEPHYR,
    "vicuna": VICUNA,
    "alpaca": ALPACA,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "phi3": PHI3,
}

# ChatML as Hermes and Qwen extended it: tools in the system turn, calls and results between tags.
TOOLS = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}"
    "{{ messages[0].content }}\n\n{% endif %}# Tools\n<tools>\n{% for tool in tools %}"
    "{{ tool | tojson }}\n{% endfor %}</tools><|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}"
    "<|im_end|>\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'user' %}<|im_start|>user\n{{ message.content }}<|im_end|>\n"
    "{% elif message.role == 'assistant' %}<|im_start|>assistant\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}"
    "{% if not loop.first or message.content %}{{ '\n' }}{% endif %}<tool_call>\n"
    '{{ \'{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{ call.function.arguments | tojson }}{{ '}' }}\n</tool_call>{% endfor %}<|im_end|>\n"
    "{% elif message.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ message.content }}\n"
    "</tool_response><|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The same with reasoning: shown after the last user's text only, and switched off by an empty one.
THINKING = TOOLS.replace(
    "<|im_start|>assistant\n{{ message.content }}",
    "<|im_start|>assistant\n{% if message.reasoning_content and loop.index0 > last.user %}<think>\n"
    "{{ message.reasoning_content }}\n</think>\n\n{% endif %}{{ message.content }}",
)
THINKING = (
    "{% set last = namespace(user=-1) %}{% for message in messages %}"
    "{% if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}{% endfor %}"
    + THINKING.removesuffix("{% endif %}")
    + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
DATED = (
    "{{ bos_token }}<|system|>Today is {{ strftime_now('%d %b %Y') }}, or "
    "{{ strftime_now('%B %d, %Y') }}, or {{ strftime_now('%Y-%m-%d') }}.<|end|>"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "<|assistant|>"
)
