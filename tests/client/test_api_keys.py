"""Where a client's key comes from, and what the command line does with it, against a server that asks for one."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.conftest import Connect
from laps_client import ModelSummary, Unauthorized
from laps_client._api_keys import keep_key, keys_file
from laps_client._endpoints import checked_url
from support.laps_command import COMMAND, FinishedCommand, LapsCommand
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model

WRONG = "laps_00000000_x"
Ask = Callable[..., tuple[ModelSummary, ...]]
Login = Callable[..., FinishedCommand]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = subprocess.run(
        [sys.executable, "-m", "laps_server", "keys", "add", "me", "--file", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return path, made.stdout.strip()


@pytest.fixture(scope="module")
def locked(key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("locked")
    write_model(models, "colours")
    with running_server(models, env={"LAPS_KEYS_FILE": str(key[0])}) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("LAPS_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def models(connect: Connect) -> Ask:
    """Asks a server for its models, by either client."""

    def ask(url: str, **options: Any) -> tuple[ModelSummary, ...]:
        return connect(url, **options).models().models

    return ask


def test_a_key_comes_from_the_argument_the_variable_or_the_file(
    models: Ask, locked: ServerProcess, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unauthorized) as refused:
        models(locked.url)
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    assert models(locked.url, api_key=key[1])
    keep_key(keys_file(), checked_url(locked.url), key[1])
    assert models(locked.url + "/")
    keep_key(keys_file(), checked_url(locked.url), WRONG)
    monkeypatch.setenv("LAPS_API_KEY", key[1])
    assert models(locked.url), "the variable goes before the file"
    with pytest.raises(Unauthorized):
        models(locked.url, api_key=WRONG)
    assert models(locked.url, headers={"X-API-Key": key[1]}, api_key=WRONG), "a header goes before all"


def test_a_key_is_for_one_server_and_its_file_for_one_reader(
    models: Ask, locked: ServerProcess, key: tuple[Path, str]
) -> None:
    keep_key(keys_file(), checked_url("http://127.0.0.1:1"), key[1])
    with pytest.raises(Unauthorized):
        models(locked.url)
    assert keys_file().stat().st_mode & 0o777 == 0o600
    keys_file().chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        models(locked.url)


@pytest.mark.parametrize("wrong", ["schlüssel", "two\nlines"])
def test_a_key_that_can_be_none_is_told(models: Ask, laps: LapsCommand, locked: ServerProcess, wrong: str) -> None:
    with pytest.raises(ValueError, match="no key has"):
        models(locked.url, api_key=wrong)
    assert laps("models", "--api-key", wrong, url=locked.url).status == 2


@pytest.mark.parametrize("content", ["", "[]", '{"http://x": 1}'])
def test_another_file_is_told(models: Ask, locked: ServerProcess, content: str) -> None:
    keys_file().parent.mkdir(parents=True)
    keys_file().write_text(content)
    keys_file().chmod(0o600)
    with pytest.raises(ValueError, match="is not a file of keys"):
        models(locked.url)


@pytest.fixture
def login(laps: LapsCommand, monkeypatch: pytest.MonkeyPatch) -> Login:
    """``laps login`` with a line on standard input."""

    def run(line: str, *args: str, url: str) -> FinishedCommand:
        monkeypatch.setattr(sys, "stdin", io.StringIO(line))
        return laps("login", *args, url=url)

    return run


def test_a_login_keeps_the_key_for_later_commands_and_a_logout_forgets_it(
    laps: LapsCommand, login: Login, locked: ServerProcess, key: tuple[Path, str]
) -> None:
    refused = laps("models", url=locked.url)
    assert (refused.status, refused.out) == (2, "")
    assert "laps login" in refused.err
    done = login(f"{key[1]}\n", url=locked.url)
    assert (done.status, done.out) == (0, "")
    assert key[1] not in done.err
    assert keys_file().stat().st_mode & 0o777 == 0o600
    assert laps("models", url=locked.url).out.startswith("colours\t")
    assert laps("models", "--api-key", WRONG, url=locked.url).status == 2
    assert laps("logout", url=locked.url).status == 0
    assert laps("models", url=locked.url).status == 2
    assert laps("models", "--api-key", key[1], url=locked.url).status == 0


@pytest.mark.parametrize("line", ["", "\n", f"{WRONG}\n", "schlüssel\n", "two\x07lines\n"])
def test_a_key_that_the_server_refuses_is_not_kept(login: Login, locked: ServerProcess, line: str) -> None:
    assert login(line, url=locked.url).status == 2
    assert not keys_file().exists()


def test_a_login_without_a_server_keeps_nothing(login: Login, locked: ServerProcess) -> None:
    assert login("laps_1_2\n", url="http://127.0.0.1:1").status == 3
    assert not keys_file().exists()


def test_a_terminal_does_not_show_the_key(locked: ServerProcess, key: tuple[Path, str]) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "LAPS_URL": locked.url}
    with subprocess.Popen([*COMMAND, "login"], stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while b"Key: " not in shown:
            shown += os.read(ours, 65536)
        os.write(ours, f"{key[1]}\n".encode())
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert key[1] not in shown.decode()
    assert key[1] in keys_file().read_text()


def test_a_keyring_that_others_may_read_is_wrong_use(laps: LapsCommand, locked: ServerProcess) -> None:
    keep_key(keys_file(), checked_url(locked.url), WRONG)
    keys_file().chmod(0o644)
    refused = laps("models", url=locked.url)
    assert (refused.status, "chmod 600" in refused.err) == (2, True)
