"""Where a client's key comes from, against a server that asks for one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laps_client import LapsClient, ModelSummary
from laps_client._api_keys import keep_key, keys_file
from laps_client._endpoints import _checked_url
from laps_client.errors import LapsError
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model


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


def models(url: str, **options: Any) -> tuple[ModelSummary, ...]:
    with LapsClient(url, **options) as client:
        return client.models().models


def test_a_key_comes_from_the_argument_the_variable_or_the_file(
    locked: ServerProcess, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LapsError) as refused:
        models(locked.url)
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    assert models(locked.url, api_key=key[1])
    keep_key(keys_file(), _checked_url(locked.url), key[1])
    assert models(locked.url + "/")
    keep_key(keys_file(), _checked_url(locked.url), None)
    monkeypatch.setenv("LAPS_API_KEY", key[1])
    assert models(locked.url)
    with pytest.raises(LapsError, match="no valid key"):
        models(locked.url, api_key="laps_00000000_x")
    assert models(locked.url, headers={"X-API-Key": key[1]})


def test_a_key_is_for_one_server_and_its_file_for_one_reader(locked: ServerProcess, key: tuple[Path, str]) -> None:
    keep_key(keys_file(), _checked_url("http://127.0.0.1:1"), key[1])
    with pytest.raises(LapsError, match="no valid key"):
        models(locked.url)
    assert keys_file().stat().st_mode & 0o777 == 0o600
    keys_file().chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        LapsClient(locked.url)


@pytest.mark.parametrize("content", ["", "[]", '{"http://x": 1}'])
def test_another_file_is_told(locked: ServerProcess, content: str) -> None:
    keys_file().parent.mkdir(parents=True)
    keys_file().write_text(content)
    keys_file().chmod(0o600)
    with pytest.raises(ValueError, match="is not a file of keys"):
        LapsClient(locked.url)
