"""The Hub: how weights come from there, and how files get there."""

from __future__ import annotations

from dataclasses import dataclass

from quantize.options.declare import Group, option, secret, switch

_PANEL = "The Hub"


@dataclass(frozen=True, kw_only=True)
class TokenOptions(Group):
    """Who asks."""

    token: str | None = secret(
        option(
            None,
            "--token",
            metavar="TOKEN",
            help="A token, in place of HF_TOKEN and of the one that `hf auth login` left.",
            panel=_PANEL,
        )
    )


@dataclass(frozen=True, kw_only=True)
class HubOptions(TokenOptions):
    """How a repository is read."""

    stream: bool = switch(
        "--stream",
        help="Read weights over HTTP as they are needed, and keep none of them on the disk.",
        panel=_PANEL,
    )


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Group):
    """How files are published."""

    private: bool = switch(
        "--private",
        help="If the repository is made now, hide it from others.",
        panel=_PANEL,
    )
    force: bool = switch(
        "--force",
        help="Replace other files of the same name in the repository.",
        panel=_PANEL,
    )
