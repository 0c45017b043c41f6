"""Where Ollama's server is: OLLAMA_HOST, read as Ollama reads it."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass

_DEFAULT_PORT = "11434"
_SCHEME_PORTS = {"http": "80", "https": "443"}
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """`path` is a prefix of all paths, empty or with a slash before it."""

    scheme: str
    name: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}:{self.port}{self.path}"


def host_from_environment() -> Host:
    return parse_host(os.environ.get("OLLAMA_HOST", ""))


def parse_host(text: str) -> Host:
    """[SCHEME://]HOST[:PORT][/PATH], each part with a default.

    Without a scheme the port is 11434, with one it is the scheme's own; a port that is none counts
    as not given. An address that means "all interfaces" to a server is this machine to a client.
    """
    scheme, mark, rest = text.strip().strip("\"'").strip().partition("://")
    if not mark:
        scheme, rest = "http", scheme
    default = _SCHEME_PORTS.get(scheme, _DEFAULT_PORT) if mark else _DEFAULT_PORT
    if rest == "ollama.com" and not mark:
        scheme, default = "https", _SCHEME_PORTS["https"]
    rest, _, path = rest.partition("/")
    name, port = _split(rest)
    if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
        port = default
    path = path.strip("/")
    return Host(scheme, _connectable(name), int(port), f"/{path}" if path else "")


def _split(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address with a port is in brackets."""
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        return name, port.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    name, _, port = text.partition(":")
    return name, port


def _connectable(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name or "127.0.0.1"
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)
