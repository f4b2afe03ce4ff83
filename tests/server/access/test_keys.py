"""Keys, their file and their quotas, without HTTP."""

from __future__ import annotations

import json
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from laps_server.access import key_file
from laps_server.access.key_file import KeyFile, change_keys, read_keys
from laps_server.access.keys import ApiKey, KeyRing, new_key_text
from laps_server.access.quotas import Quotas
from laps_server.errors import BadParameter, QuotaExceeded


def made(name: str = "lab", **quota: float | bool) -> tuple[ApiKey, str]:
    identity, text, digest = new_key_text()
    return ApiKey(identity, name, digest, "2026-01-01T00:00:00+00:00", **quota), text  # type: ignore[arg-type]


def put(path: Path, *keys: ApiKey) -> None:
    change_keys(path, lambda _: KeyRing(keys))


def test_a_key_is_found_by_its_whole_text_alone() -> None:
    (one, text), (other, other_text) = made("one"), made("other")
    ring = KeyRing((one, other))
    assert ring.find(text) == one
    assert ring.find(other_text) == other
    mixed = "_".join((*text.split("_", 2)[:2], other_text.split("_", 2)[2]))
    for wrong in ("", "laps", f"laps_{one.id}_", text[:-1], text + "x", mixed, text.upper(), "laps_00000000_x"):
        assert ring.find(wrong) is None, wrong


def test_the_file_holds_hashes_and_is_its_owners_alone(tmp_path: Path) -> None:
    key, text = made(requests_per_minute=90.0, concurrency=2, admin=True)
    path = tmp_path / "etc" / "keys.json"
    put(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text not in path.read_text()
    assert text.rpartition("_")[2] not in path.read_text()
    assert read_keys(path).keys == (key,)
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys": [{"id": "x"}]}', '{"keys": [], "more": []}', '{"keys": {"id": "x"}}', "\0"]
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(BadParameter, match="is not a file of keys"):
        read_keys(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused_and_read_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(key_file, "_LOOK_AGAIN_S", 0.0)
    (one, one_text), (other, other_text) = made("one"), made("other")
    path = tmp_path / "keys.json"
    put(path, one)
    file = KeyFile(path)
    put(path, other)
    path.chmod(mode)
    assert file.ring.find(one_text) == one, "the keys stay as they were"
    with pytest.raises(BadParameter, match="can be written by others"):
        read_keys(path)
    path.chmod(0o644)
    assert file.ring.find(other_text) == other, "others may read hashes"


def test_changes_at_once_lose_no_key_and_bring_none_back(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    revoked, *added = [made(str(number))[0] for number in range(9)]
    put(path, revoked)
    begin = threading.Barrier(len(added) + 1)

    def change(key: ApiKey) -> None:
        def revoked_or_added(ring: KeyRing) -> KeyRing:
            time.sleep(0.01)
            return KeyRing(other for other in (*ring.keys, key) if other != revoked or key != revoked)

        begin.wait(10)
        change_keys(path, revoked_or_added)

    with ThreadPoolExecutor(len(added) + 1) as pool:
        list(pool.map(change, [*added, revoked]))
    assert sorted(key.id for key in read_keys(path).keys) == sorted(key.id for key in added)


def test_a_change_is_seen_and_damage_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(key_file, "_LOOK_AGAIN_S", 0.0)
    (one, one_text), (other, other_text) = made("one"), made("other")
    path = tmp_path / "keys.json"
    put(path, one)
    file = KeyFile(path)
    assert file.ring.find(one_text) == one
    put(path, other)
    assert file.ring.find(one_text) is None
    assert file.ring.find(other_text) == other
    path.write_text(json.dumps({"keys": "none"}))
    assert file.ring.find(other_text) == other
    path.unlink()
    assert file.ring.find(other_text) == other
    assert caplog.text.count("keys stay as they were") == 2
    put(path, one)
    assert file.ring.find(one_text) == one


def test_requests_a_minute_are_filled_steadily() -> None:
    at = 0.0
    quotas = Quotas(clock=lambda: at)
    key, _ = made(requests_per_minute=60.0)

    def taken() -> int:
        """How many get in until one does not."""
        for count in range(1000):
            try:
                with quotas.use(key):
                    pass
            except QuotaExceeded as exc:
                waits.append(exc.retry_after_s)
                return count
        raise AssertionError("nobody is refused")

    waits: list[float | None] = []
    assert taken() == 10
    at = 3.0
    assert taken() == 3
    at = 1000.0
    assert taken() == 10  # what was not used is not saved up
    assert waits == [pytest.approx(1.0)] * 3


def test_a_slow_key_gets_its_first_request_and_is_told_how_long_to_wait() -> None:
    quotas = Quotas(clock=lambda: 0.0)
    key, _ = made(requests_per_minute=1.0)
    with quotas.use(key):
        pass
    with pytest.raises(QuotaExceeded) as refused, quotas.use(key):
        pass
    assert refused.value.retry_after_s == pytest.approx(60.0)


def test_places_come_back_however_a_request_ends() -> None:
    quotas = Quotas()
    (key, _), (other, _) = made(concurrency=1), made("other", concurrency=1)

    def fail() -> None:
        with quotas.use(key):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with quotas.use(key), quotas.use(other), pytest.raises(QuotaExceeded, match="1 requests in flight"):
        quotas.use(key).__enter__()
    with quotas.use(key):
        pass
