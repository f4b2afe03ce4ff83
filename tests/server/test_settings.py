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
        ("CODECS", "all"),
    ],
)
def test_a_setting_that_would_break_every_request_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LAPS_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(("value", "codecs"), [("", "standard"), ("standard", "standard"), ("wide", "wide")])
def test_the_environment_chooses_the_codecs(monkeypatch: pytest.MonkeyPatch, value: str, codecs: str) -> None:
    monkeypatch.setenv("LAPS_CODECS", value)
    assert Settings().codecs == codecs


def test_batch_sizes_are_powers_of_two_up_to_the_limit() -> None:
    assert Settings(max_batch_views=1).batch_sizes == (1,)
    assert Settings(max_batch_views=6).batch_sizes == (1, 2, 4)
    assert Settings().batch_sizes == (1, 2, 4)
    assert Settings(engine="triton", triton_url="grpc://triton:8001").batch_sizes == (1, 2, 4, 8, 16)
    assert Settings(max_batch_views=64).batch_sizes == (1, 2, 4, 8, 16, 32, 64)


@pytest.mark.parametrize(
    "url",
    [
        "triton:8001",
        "grpc://triton",
        "ftp://triton:8001",
        "grpc://triton:8001/v2",
        "http://me@triton:8000",
        "grpc://:1",
    ],
)
def test_an_address_of_which_a_part_would_be_ignored_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be grpc://host:port"):
        Settings(engine="triton", triton_url=url)


@pytest.mark.parametrize("url", ["grpc://triton:8001", "http://10.0.0.7:8000", "grpc://[::1]:8001"])
def test_addresses_of_triton(url: str) -> None:
    assert Settings(engine="triton", triton_url=url).triton_url == url


def test_triton_needs_an_address() -> None:
    with pytest.raises(ValidationError, match="needs triton_url"):
        Settings(engine="triton")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_DEFAULT_MODEL", "")
    monkeypatch.setenv("LAPS_PORT", "")
    assert (Settings().default_model, Settings().port) == (None, 8000)
