"""Models into Ollama: what is sent, what is said when it fails, and what is compared afterwards."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.errors import NetworkError, QuantizeError, UsageError, VerificationError
from quantize.ollama.server import client
from quantize.ollama.server.create import check_name, shown_parameters
from quantize.ollama.server.host import parse_host
from quantize.ollama.templates.capabilities import of_jinja
from tests.support.cli_runner import Cli
from tests.support.modelfile_reader import read_modelfile
from tests.support.ollama_server import OllamaServer

Serve = Callable[..., OllamaServer]


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What convert writes, read-only."""
    output = tmp_path_factory.mktemp("out")
    api.convert(str(checkpoint("llama31-bpe")), api.Options(types=("Q8_0",), output=output))
    return output


def facts(folder: Path) -> dict[str, Any]:
    (gguf,) = folder.glob("*.gguf")
    return {kv.key: kv.value for kv in api.inspect(str(gguf)).kvs}


def honest(folder: Path) -> dict[str, Any]:
    """What Ollama reports of the folder's model, when all goes as the reference says."""
    kvs = facts(folder)
    can = of_jinja(kvs["tokenizer.chat_template"])
    return {
        "capabilities": ["completion"] + ["tools"] * can.tools + ["thinking"] * can.thinking,
        "details": {"quantization_level": "Q8_0"},
        "model_info": {key: kvs[key] for key in kvs if key.endswith(".context_length")},
    }


def point(monkeypatch: pytest.MonkeyPatch, server: OllamaServer) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.host)


def create(place: Path, monkeypatch: pytest.MonkeyPatch, server: OllamaServer) -> Any:
    point(monkeypatch, server)
    return api.create_in_ollama("tiny", place)


def test_everything_of_the_modelfile_is_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OllamaServer(shows=honest(folder)) as server:
        created = create(folder, monkeypatch, server)
    (gguf,) = folder.glob("*.gguf")
    digest = f"sha256:{hashlib.sha256(gguf.read_bytes()).hexdigest()}"
    assert server.blobs == {digest: gguf.read_bytes()}
    assert server.log == [
        "GET /api/version",
        f"HEAD /api/blobs/{digest}",
        f"POST /api/blobs/{digest}",
        "POST /api/create",
        "POST /api/show",
    ]
    sent = server.models["tiny"]
    assert sent["files"] == {gguf.name: digest}
    lines = read_modelfile((folder / "Modelfile").read_bytes())
    assert sent["template"] == next(line.value for line in lines if line.word == "template")
    assert sent["parameters"]["stop"] == [line.value for line in lines if line.name == "stop"]
    assert sent["parameters"]["temperature"] == 0.6
    assert created.differences == ()
    assert created.context_length == facts(folder)["llama.context_length"]


def test_an_embedder_keeps_the_tools_of_its_chat_template(
    checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Qwen3-Embedding does: Ollama reports what the Jinja can do beside embedding."""
    options = api.Options(types=("Q8_0",), output=tmp_path, pooling="last")
    api.convert(str(checkpoint("qwen3-tied")), options)
    said = honest(tmp_path)
    said["capabilities"] = ["embedding", *said["capabilities"][1:]]
    assert "tools" in said["capabilities"]
    with OllamaServer(shows=said) as server:
        assert create(tmp_path, monkeypatch, server).differences == ()


def test_texts_and_messages_are_sent(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (gguf,) = folder.glob("*.gguf")
    (tmp_path / "Modelfile").write_text(
        f'FROM {gguf}\nSYSTEM """Be "brief".\nAlways."""\nLICENSE a\nLICENSE b\n'
        "MESSAGE user hi\nMESSAGE assistant hello\nPARAMETER top_k 20\nPARAMETER use_mmap false\n"
        "REQUIRES 0.14.0\n"
    )
    with OllamaServer(
        shows=honest(folder) | {"template": facts(folder)["tokenizer.chat_template"]}
    ) as s:
        created = create(tmp_path, monkeypatch, s)
    sent = s.models["tiny"]
    assert sent["system"] == 'Be "brief".\nAlways.'
    assert sent["license"] == ["a", "b"]
    assert sent["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    assert sent["parameters"] == {"top_k": 20, "use_mmap": False}
    assert sent["requires"] == "0.14.0"
    # What is not said is not sent: an empty text cannot erase anything.
    assert not {"template", "renderer", "parser", "adapters", "from"} & sent.keys()
    assert created.differences == ()


def test_adapters_and_drafts_are_sent(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (gguf,) = folder.glob("*.gguf")
    for name in ("first.gguf", "last.gguf", "draft.gguf"):
        (tmp_path / name).write_text(name)
    (tmp_path / "Modelfile").write_text(
        f"FROM {gguf}\nADAPTER ./first.gguf\nADAPTER ./last.gguf\nDRAFT ./draft.gguf\n"
    )
    with OllamaServer(shows=honest(folder) | {"template": ""}) as server:
        create(tmp_path, monkeypatch, server)
    sent = server.models["tiny"]
    assert [*sent["adapters"]] == ["last.gguf"]
    assert [*sent["draft_files"]] == ["draft.gguf"]
    assert set(sent["draft_files"].values()) < set(server.blobs)


def test_a_blob_that_is_there_is_not_sent_again(folder: Path, monkeypatch: Any) -> None:
    with OllamaServer(shows=honest(folder)) as server:
        create(folder, monkeypatch, server)
        del server.log[:]
        create(folder, monkeypatch, server)
    assert [line for line in server.log if line.startswith("POST /api/blobs")] == []


def test_a_blob_that_appears_meanwhile(tmp_path: Path, monkeypatch: Any, folder: Path) -> None:
    """The server answers without reading: more than the system's buffers hold is sent in vain."""
    (gguf,) = folder.glob("*.gguf")
    big = tmp_path / gguf.name
    big.write_bytes(gguf.read_bytes().ljust(32 << 20, b"\0"))
    (tmp_path / "Modelfile").write_bytes((folder / "Modelfile").read_bytes())
    with OllamaServer("racing", shows=honest(folder)) as server:
        assert create(tmp_path, monkeypatch, server).differences == ()
    assert server.unread == 1


@pytest.mark.parametrize(
    ("fault", "kind", "reference", "reason"),
    [
        ("gone", NetworkError, "ollama-broke-off", "parsing GGUF"),
        ("gone-while-uploading", NetworkError, "ollama-broke-off", ""),
        ("silent-end", NetworkError, "ollama-broke-off", "verifying conversion"),
        ("late-error", NetworkError, "ollama-refused", "llama-quantize failed: exit status 1"),
        ("early-error", NetworkError, "ollama-refused", "unknown type"),
        ("damaged", VerificationError, "digest-mismatch", "digest mismatch"),
    ],
)
def test_faults(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    kind: type[QuantizeError],
    reference: str,
    reason: str,
) -> None:
    with OllamaServer(fault, shows=honest(folder)) as server, pytest.raises(kind) as raised:
        create(folder, monkeypatch, server)
    assert raised.value.code == reference
    assert reason in (raised.value.reason or "")


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_without_a_server_the_line_to_run_is_said(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", nobody)
    ran = cli("ollama", "create", "tiny", str(folder))
    assert ran.code == 6
    assert "error[no-ollama]" in ran.err
    assert f"ollama create tiny -f {folder / 'Modelfile'}\n" in ran.err


def test_convert_without_a_server_leaves_the_folder_and_the_line(
    cli: Cli, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: Any, nobody: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", nobody)
    source = str(checkpoint("llama31-bpe"))
    ran = cli("convert", source, "-t", "Q8_0", "-o", str(tmp_path), "--ollama", "tiny")
    assert ran.code == 6
    assert f"ollama create tiny -f {tmp_path / 'Modelfile'}\n" in ran.err
    assert (tmp_path / "Modelfile").is_file()
    assert (tmp_path / "llama31-bpe-Q8_0.gguf").is_file()


@pytest.mark.parametrize(
    ("shows", "what"),
    [
        ({"capabilities": ["completion", "tools"]}, "capabilities"),
        ({"details": {"quantization_level": "F16"}}, "quantization"),
        ({"model_info": {"llama.context_length": 2048}}, "context length"),
        ({"system": "x", "template": "{{ .Prompt }}"}, "template"),
        ({"parameters": 'stop   "<|im_end|>"'}, "parameter stop"),
    ],
)
def test_what_is_reported_otherwise_is_told(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, shows: dict[str, Any], what: str
) -> None:
    with OllamaServer(shows=honest(folder) | shows) as server:
        point(monkeypatch, server)
        created = cli("ollama", "create", "tiny", str(folder), "--json")
        ran = cli("ollama", "create", "tiny", str(folder))
    assert (created.code, ran.code) == (8, 8)
    found = [one["what"] for one in created.event("created")["differences"]]
    assert what in found
    assert f"differs  {what}: " in ran.out


def test_a_hijacked_template_is_noticed(folder: Path, monkeypatch: Any) -> None:
    with OllamaServer("hijack", shows=honest(folder)) as server:
        created = create(folder, monkeypatch, server)
    assert [one.what for one in created.differences] == ["template"]


def test_convert_into_ollama(
    cli: Cli, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: Any, folder: Path
) -> None:
    source = str(checkpoint("llama31-bpe"))
    options = ["-t", "Q8_0", "-t", "F16", "-o", str(tmp_path), "--num-ctx", "64"]
    options += ["--system", "Be brief.", "--parameter", "temperature=0.1"]
    with OllamaServer(shows=honest(folder) | {"details": {}}) as server:
        point(monkeypatch, server)
        ran = cli("convert", source, *options, "--ollama", "tiny", "--json")
    assert set(server.models) == {"tiny", "tiny:f16"}
    for sent in server.models.values():
        assert sent["system"] == "Be brief."
        assert sent["parameters"]["num_ctx"] == 64
        assert sent["parameters"]["temperature"] == 0.1
    # The server was told to report no quantization, which is a difference.
    assert ran.code == 8
    assert [e["name"] for e in ran.events if e["event"] == "created"] == ["tiny", "tiny:f16"]


def test_convert_checks_the_name_before_anything_else(cli: Cli, tmp_path: Path) -> None:
    ran = cli("convert", "./no/such/folder", "--ollama", "a b", "-o", str(tmp_path))
    assert ran.code == 2
    assert "error[bad-model-name]" in ran.err


@pytest.mark.parametrize(
    "name", ["m", "m:q4_k", "me/m", "host:5000/me/m:tag", "_x.Y-1", "https://h.io/me/m"]
)
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "-a", ".a", "a:", "a/b.c/d/e", "a" * 81, "a:-b", "h.io/m", "x://m"]
)
def test_no_names(name: str) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("example.org", "http://example.org:11434"),
        ("example.org:8080", "http://example.org:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 (what a server listens on)
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://example.org", "https://example.org:443"),
        ("https://example.org:99/ollama/", "https://example.org:99/ollama"),
        ("[::1]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        (' "1.2.3.4:99" ', "http://1.2.3.4:99"),
        ("example.org:99999", "http://example.org:11434"),
        ("example.org:x", "http://example.org:11434"),
    ],
)
def test_ollama_host(text: str, url: str) -> None:
    """Ollama's envconfig.Host: port 11434 without a scheme, the scheme's own with one."""
    assert str(parse_host(text)) == url


def test_parameters_as_go_prints_them() -> None:
    text = 'num_ctx    4096\nstop       "<|x|>"\nstop       "a \\"b\\"\\n"\nuse_mmap   true'
    assert shown_parameters(text) == {
        "num_ctx": [4096], "stop": ["<|x|>", 'a "b"\n'], "use_mmap": [True],
    }  # fmt: skip


def test_a_server_that_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection, and that is all: the first answer is waited for ten seconds."""
    assert client._FIRST_ANSWER_TIMEOUT == 10
    monkeypatch.setattr(client, "_FIRST_ANSWER_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(NetworkError) as raised:
            api.create_in_ollama("tiny", folder)
    assert "said nothing for 0.1 seconds" in str(raised.value.reason)
    assert "ollama create tiny" in str(raised.value.hint)


def test_a_full_disk_is_told_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OllamaServer("full") as server, pytest.raises(NetworkError) as raised:
        create(folder, monkeypatch, server)
    assert raised.value.code == "ollama-disk-full"
    assert "three times" in str(raised.value.hint)


def test_made_but_not_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OllamaServer("forgetful") as server, pytest.raises(NetworkError) as raised:
        create(folder, monkeypatch, server)
    assert "tiny" in server.models
    assert raised.value.code == "ollama-not-compared"
    assert "is made" in raised.value.message


def test_a_folder_as_from(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ollama takes it: its GGUF files, unless there are .json files, which it would read too."""
    (gguf,) = folder.glob("*.gguf")
    (tmp_path / gguf.name).write_bytes(gguf.read_bytes())
    (tmp_path / "Modelfile").write_text("FROM .\n")
    with OllamaServer(shows=honest(folder)) as server:
        create(tmp_path, monkeypatch, server)
        assert [*server.models["tiny"]["files"]] == [gguf.name]
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(UsageError, match="folder"):
            create(tmp_path, monkeypatch, server)


def test_a_modelfile_without_its_file(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "Modelfile").write_text("FROM ./no.gguf\n")
    with pytest.raises(UsageError) as raised:
        api.create_in_ollama("tiny", tmp_path)
    assert raised.value.code == "no-such-model-file"
    with pytest.raises(UsageError) as raised:
        api.create_in_ollama("tiny", tmp_path / "nothing")
    assert raised.value.code == "no-modelfile"


def test_a_bad_parameter_is_refused_before_anything_is_sent(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """The server would store it unchecked, and fail at every request."""
    (gguf,) = folder.glob("*.gguf")
    (tmp_path / "Modelfile").write_text(f"FROM {gguf}\nPARAMETER num_ctx 4k\n")
    with OllamaServer() as server, pytest.raises(UsageError, match="num_ctx"):
        create(tmp_path, monkeypatch, server)
    assert server.models == {}
    assert server.blobs == {}
