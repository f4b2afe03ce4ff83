from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from laps_export.fetch.pip_settings import PipSettings, parse_options, read_pip_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))


def asked() -> PipSettings:
    """What `read_pip_settings` says, leaving out what the machine's own /etc may say of other things."""
    return read_pip_settings()


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.test/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://one.test/simple http://two.test/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.test")
    monkeypatch.setenv("PIP_CERT", "/certs.pem")
    monkeypatch.setenv("PIP_CLIENT_CERT", "/me.pem")
    monkeypatch.setenv("PIP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "7")
    assert asked() == PipSettings(
        index_url="http://index.test/simple",
        extra_index_urls=("http://one.test/simple", "http://two.test/simple"),
        find_links=("/wheels",),
        trusted_hosts=("index.test",),
        cert="/certs.pem",
        client_cert="/me.pem",
        proxy="http://proxy.test:3128",
        timeout_s=7.0,
    )


def test_configuration_files_say_it_too_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = http://all.test/\ntimeout = 3\n[install]\nindex-url = http://install.test/\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    assert (asked().index_url, asked().timeout_s) == ("http://install.test/", 3.0)
    monkeypatch.setenv("PIP_INDEX_URL", "http://env.test/")
    assert asked().index_url == "http://env.test/"


def test_pip_that_is_not_there_or_hangs_means_its_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert read_pip_settings() == PipSettings()

    def hangs(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("pip", 60)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert read_pip_settings() == PipSettings()


def test_the_more_special_section_wins_and_what_is_empty_is_not_set() -> None:
    listed = "\n".join(
        [
            ":env:.cert=''",
            "global.cert='/all.pem'",
            "global.index-url='http://all.test/'",
            "install.index-url='http://install.test/'",
            "download.index-url='http://other.test/'",
            "global.extra-index-url='\\nhttp://one.test/\\nhttp://two.test/'",
            "WARNING: something else",
        ]
    )
    options = parse_options(listed)
    assert options["cert"] == "/all.pem"
    assert options["index-url"] == "http://install.test/"
    assert PipSettings.of(options).extra_index_urls == ("http://one.test/", "http://two.test/")


@pytest.mark.parametrize(("text", "meant"), [("true", True), ("1", True), ("no", False), ("", False)])
def test_no_index_is_a_yes_or_a_no(text: str, meant: bool) -> None:
    assert PipSettings.of({"no-index": text}).no_index is meant


@pytest.mark.parametrize("text", ["", "soon", "0", "-3"])
def test_a_timeout_that_is_none_is_pips_own(text: str) -> None:
    assert PipSettings.of({"timeout": text}).timeout_s == PipSettings().timeout_s
