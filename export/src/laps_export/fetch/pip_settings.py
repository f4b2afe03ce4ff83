"""Where pip installs from, as pip itself tells it: its environment variables and all its configuration files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_SECTIONS = ("global", "install", ":env:")  # a later one wins: what pip does for `pip install`
_TIMEOUT_S = 15.0  # pip's own, where nobody set another
_YES = {"1", "true", "t", "yes", "y", "on"}
_PIP_S = 60  # an interpreter that starts on a busy machine


@dataclass(frozen=True, kw_only=True)
class PipSettings:
    """Indexes and how to reach them.

    Attributes:
        index_url: the main index; None is pip's default.
        extra_index_urls: further ones.
        no_index: only `find_links` are to be looked at.
        find_links: folders, or pages with links.
        trusted_hosts: whose certificates are not looked at.
        cert: file or folder of authorities; None trusts those of the system.
        client_cert: file with our own certificate and its key.
        proxy: address; None takes what the environment says.
        timeout_s: of one connection, and of one silence.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_index: bool = False
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout_s: float = _TIMEOUT_S

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Self:
        """From pip's options by their long names; those that cannot be read count as not set."""
        return cls(
            index_url=options.get("index-url") or None,
            extra_index_urls=tuple(options.get("extra-index-url", "").split()),
            no_index=options.get("no-index", "").lower() in _YES,
            find_links=tuple(options.get("find-links", "").split()),
            trusted_hosts=tuple(options.get("trusted-host", "").split()),
            cert=options.get("cert") or None,
            client_cert=options.get("client-cert") or None,
            proxy=options.get("proxy") or None,
            timeout_s=_seconds(options.get("timeout") or options.get("default-timeout") or ""),
        )


def read_pip_settings() -> PipSettings:
    """What `pip install` would use here; pip's defaults where it cannot be asked."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PIP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return PipSettings()
    return PipSettings.of(parse_options(asked.stdout))


def parse_options(listed: str) -> dict[str, str]:
    """The options of `pip config list`, whose lines are as `global.index-url='https://…'`."""
    by_section: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if equals and section in by_section and (text := _unquoted(value)):  # an empty one counts as not set
            by_section[section][option] = text
    merged: dict[str, str] = {}
    for options in by_section.values():
        merged |= options
    return merged


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return _TIMEOUT_S
    return seconds if seconds > 0 else _TIMEOUT_S
