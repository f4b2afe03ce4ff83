from __future__ import annotations

import pytest
from pydantic import ValidationError

from laps_server.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_DEADLINE_S", "3600"),
        ("MAX_DEADLINE_S", "inf"),
        ("MAX_DEADLINE_S", "nan"),
        ("UPLOAD_IDLE_TIMEOUT_S", "inf"),
        ("MAX_QUEUED_VIEWS", "100"),
        ("UPLOAD_DIR", "/no/such/folder"),
        ("PORT", "70000"),
    ],
)
def test_a_setting_that_would_break_every_request_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LAPS_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_batch_sizes_are_powers_of_two_up_to_the_limit() -> None:
    assert Settings(max_batch_views=1).batch_sizes == (1,)
    assert Settings(max_batch_views=6).batch_sizes == (1, 2, 4)
    assert Settings(max_batch_views=64).batch_sizes == (1, 2, 4, 8, 16, 32, 64)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_DEFAULT_MODEL", "")
    monkeypatch.setenv("LAPS_PORT", "")
    assert (Settings().default_model, Settings().port) == (None, 8000)
