"""The examples of docs/client.md, docs/cli.md and the client's README, run against a real server."""

from __future__ import annotations

import ast
import contextlib
import doctest
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from laps_client import Classification, LapsClient, RetryPolicy, Timeouts, errors
from laps_client._httpx_errors import TRANSLATIONS
from laps_client._parsing import from_json
from laps_client.cli import exit_status
from laps_client.cli.app import app
from laps_client.cli.result_block import doubt
from laps_client.cli.terminal_text import bar, sparkline
from support.live_servers import ServerProcess
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.response_bodies import BODY

ROOT = Path(__file__).parents[2]
PAGES = {"client.md": ROOT / "docs/client.md", "README.md": ROOT / "clients/python/README.md"}
CLIENT_MD = PAGES["client.md"].read_text()
CLI_MD = ROOT / "docs/cli.md"
URL = "http://127.0.0.1:8000"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_sessions_print_what_they_say(
    page: Path, server: ServerProcess, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = "\n".join(text for kind, text in blocks(page) if kind == "pycon")
    assert URL in session
    monkeypatch.chdir(clip.parent)
    write_colour_video(clip.parent / "green.mp4", [GREEN] * 20)
    write_colour_video(clip.parent / "clip again.mkv", [RED] * 13 + [BLUE] * 8, width=96, height=72)
    test = doctest.DocTestParser().get_doctest(session.replace(URL, server.url), {}, page.name, str(page), 0)
    assert len(test.examples) > 5
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        result = runner.run(test, out=said.write)
    assert result.failed == 0, said.getvalue()


def test_programs_print_what_they_say(server: ServerProcess, clip: Path) -> None:
    found = blocks(PAGES["client.md"])
    programs = [(code, found[place + 1]) for place, (kind, code) in enumerate(found) if kind == "python"]
    assert programs
    for code, (kind, expected) in programs:
        assert kind == "text"
        command = [sys.executable, "-W", "error", "-c", code.replace(URL, server.url)]
        done = subprocess.run(command, cwd=clip.parent, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_the_tree_shown_is_the_one_in_the_code() -> None:
    picture = str(inspect.getdoc(errors)).split("::\n\n")[1].split("\n\n")[0]
    assert inspect.cleandoc(picture) in CLIENT_MD


def test_every_option_of_classify_is_listed() -> None:
    options = [
        name
        for name, item in inspect.signature(LapsClient.classify).parameters.items()
        if item.kind is item.KEYWORD_ONLY
    ]
    table = CLIENT_MD.split("| option | |")[1].split("\n\n")[0]
    assert re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])) == options


def test_every_code_of_the_clients_own_is_listed() -> None:
    package = Path(inspect.getfile(LapsClient)).parent
    written = {
        keyword.value.value
        for path in package.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    table = CLIENT_MD.split("| code | |")[1].split("\n\n")[0]
    listed = set(re.findall(r"`([a-z]+_[a-z]+|timeout)`", table))
    assert listed == written | {translation.code for translation in TRANSLATIONS.values()}


def test_the_defaults_shown_are_the_defaults() -> None:
    shown = re.search(r"timeouts=(Timeouts\(.*?\)).*?retries=(RetryPolicy\(.*?\))", CLIENT_MD, re.DOTALL)
    assert shown is not None
    names = {"Timeouts": Timeouts, "RetryPolicy": RetryPolicy}
    assert eval(shown[1], names) == Timeouts()
    assert eval(shown[2], names) == RetryPolicy()
    assert all(f"{name}=" in shown[0] for name in (*Timeouts.__slots__, *RetryPolicy.__slots__))


def test_shell_sessions_print_what_they_say(
    server: ServerProcess, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "more").mkdir()
    write_colour_video(tmp_path / "more" / "green one.mp4", [GREEN] * 20)
    (tmp_path / "list.txt").write_text("clip.mp4 0\nmore/green one.mp4 1\n")
    command = shlex.join([sys.executable, "-c", "from laps_client.cli import main; main()"])
    sessions = [text for kind, text in blocks(CLI_MD) if kind == "console"]
    assert len(sessions) >= 4
    for session in sessions:
        for shown in session.split("$ ")[1:]:
            line, _, expected = shown.partition("\n")
            done = subprocess.run(
                ["bash", "-c", f'laps() {{ {command} "$@"; }}; {line}'],
                cwd=tmp_path,
                env={**os.environ, "LAPS_URL": server.url},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == expected.rstrip("\n") + "\n"


def test_every_option_and_status_of_the_command_line_is_told() -> None:
    page = CLI_MD.read_text()
    for command in typer.main.get_group(app).commands.values():
        assert f"laps {command.name} " in page or f"laps {command.name}\n" in page
        for option in command.params:
            names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
            assert not names or any(f"{name}`" in page or f"{name} " in page for name in names), names
    statuses = {value for name, value in vars(exit_status).items() if name.isupper() and isinstance(value, int)}
    told = re.findall(r"^\| ([0-9, ]+) \|", page.split("## Exit status")[1], re.MULTILINE)
    assert {int(number) for row in told for number in row.split(",")} == statuses


def test_the_block_shown_is_what_a_terminal_shows() -> None:
    (shown,) = [text for kind, text in blocks(CLI_MD) if kind == "text"]
    curves = sparkline([1.0] * 7 + [0.0], width=40), sparkline([0.0] * 7 + [1.0], width=40)
    assert f"  red   0.982  {bar(0.981699, 20)}  {curves[0]}\n" in shown
    assert f"  blue  0.009  {bar(0.008636, 20)}  {curves[1]}\n" in shown
    result = replace(from_json(Classification, BODY), agreement=1.0, margin=0.981699 - 0.008636)
    words = doubt(replace(result, views=replace(result.views, used=6)))
    assert f"\n  {words}\n" in shown
