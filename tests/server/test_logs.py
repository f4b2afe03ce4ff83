"""Log lines, in both formats, with what strangers send in them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from laps_server.logs import FIELDS, LogFormat, configure_logging
from laps_server.request_id import set_request_id
from support.live_servers import running_server
from support.model_repositories import write_model
from support.plain_videos import RED, write_colour_video

HOSTILE = "clip\n2026-01-01 00:00:00 ERROR [-] root: forged\r\x1b[2J\x07\x85\u2028\u202egpm.4\ud800\x7f"

Logged = Callable[[LogFormat], logging.Logger]


@pytest.fixture
def logger() -> Iterator[Logged]:
    """The root logger as the command sets it up; put back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configured(log_format: LogFormat) -> logging.Logger:
        configure_logging("info", log_format)
        return logging.getLogger("somewhere")

    yield configured
    root.handlers[:], level = before
    root.setLevel(level)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def raise_with(message: str) -> None:
    raise ValueError(message)


def test_a_hostile_name_stays_in_its_line_of_text(logger: Logged, capsys: pytest.CaptureFixture[str]) -> None:
    logger("text").info("received %s, größer", HOSTILE)
    written = capsys.readouterr().err
    assert written.endswith("\n")
    assert written[:-1].isprintable()
    assert "clip\\n2026" in written
    assert "größer" in written


def test_a_hostile_name_stays_in_its_json(logger: Logged, capsys: pytest.CaptureFixture[str]) -> None:
    set_request_id("one")
    logger("json").warning("received %s", HOSTILE, extra={FIELDS: {"path": HOSTILE, "seconds": 0.5}})
    written = capsys.readouterr().err
    assert written.isascii()
    assert written[:-1].isprintable()
    (line,) = json_lines(written)
    assert line["message"] == f"received {HOSTILE}"
    assert line["path"] == HOSTILE
    assert (line["level"], line["logger"], line["request_id"], line["seconds"]) == ("warning", "somewhere", "one", 0.5)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_very_long_line_is_cut(logger: Logged, capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    logger(log_format).info("received %s", "x" * 1_000_000)
    written = capsys.readouterr().err
    assert len(written) < 10_000
    assert "more characters" in written


def test_a_traceback_forges_no_record(logger: Logged, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise_with(HOSTILE)
    except ValueError:
        logger("text").exception("failed")
        first, *rest = capsys.readouterr().err.splitlines()
        logger("json").exception("failed")
        (line,) = json_lines(capsys.readouterr().err)
    assert first.endswith("somewhere: failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(text.startswith("    ") and text.isprintable() for text in rest)
    assert "raise_with" in line["traceback"]
    assert "forged" in line["traceback"]


# The access log of a real server ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("logs")
    write_model(home / "models", "colours")
    write_colour_video(home / "clip.mp4", [RED] * 10)
    return home


def test_each_request_has_a_line_that_machines_read(home: Path) -> None:
    file = home / "keys.json"
    command = [sys.executable, "-m", "laps_server", "keys", "add", "lab", "--file", str(file)]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with running_server(home / "models", env={"LAPS_LOG_FORMAT": "json", "LAPS_KEYS_FILE": str(file)}) as server:
        ask = {"x-request-id": "good", "x-api-key": key}
        httpx.post(f"{server.url}/classify", content=(home / "clip.mp4").read_bytes(), headers=ask, timeout=60)
        httpx.post(f"{server.url}/classify", content=b"x", headers=ask | {"x-request-id": "bad"})
        httpx.post(f"{server.url}/classify", content=b"x", headers={"x-request-id": "refused"})
        httpx.get(f"{server.url}/%0aforged%1b[2J{'y' * 5000}", headers=ask | {"x-request-id": "odd"})
        server.stop()
        server.process.wait()
    lines = json_lines("".join(server.log))
    access = {line["request_id"]: line for line in lines if line["logger"] == "laps_server.api.request_report"}
    good, bad, refused, odd = (access[name] for name in ("good", "bad", "refused", "odd"))
    assert (good["method"], good["path"], good["status"], good["outcome"]) == ("POST", "/classify", 200, "ok")
    assert (good["model"], good["key"], good["key_id"]) == ("colours/1", "lab", key.split("_")[1])
    assert 0 < good["seconds"] < 60
    assert (bad["status"], bad["outcome"], bad["model"]) == (415, "unsupported_container", "colours/1")
    assert (refused["status"], refused["outcome"]) == (401, "unauthorized")
    assert "key" not in refused
    assert odd["path"].startswith("/\\nforged\\x1b[2Jyyy")
    assert len(odd["path"]) < 300
    assert not any(key.split("_", 2)[2] in text for text in server.log)
