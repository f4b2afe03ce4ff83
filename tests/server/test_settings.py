from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from laps_server import settings as settings_module
from laps_server.settings import RENAMED, Settings


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


def test_wide_codecs_need_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_CODECS", "wide")
    assert Settings().decode == "sandbox"
    with pytest.raises(ValidationError, match="needs decode sandbox"):
        Settings(decode="thread")
    monkeypatch.setattr(settings_module, "IS_AVAILABLE", False)
    with pytest.raises(ValidationError, match="which only Linux has"):
        Settings()


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of two kinds that had other names a release ago, whatever the real ones are."""
    monkeypatch.setattr(settings_module, "RENAMED", {"max_calls": "max_requests", "listen_on": "host"})


@pytest.mark.usefixtures("renamed")
def test_a_setting_is_read_by_its_old_name_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_MAX_CALLS", "7")
    monkeypatch.setenv("LAPS_LISTEN_ON", "0.0.0.0")
    settings = Settings()
    assert (settings.max_requests, settings.host) == (7, "0.0.0.0")
    assert settings.warnings == (
        "LAPS_MAX_CALLS is now LAPS_MAX_REQUESTS: the next release does not read the old name",
        "LAPS_LISTEN_ON is now LAPS_HOST: the next release does not read the old name",
    )


@pytest.mark.usefixtures("renamed")
def test_the_new_name_wins_and_an_old_one_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_MAX_CALLS", "7")
    monkeypatch.setenv("LAPS_MAX_REQUESTS", "8")
    monkeypatch.setenv("LAPS_LISTEN_ON", "")
    settings = Settings()
    assert (settings.max_requests, settings.host) == (8, "127.0.0.1")
    assert ["LAPS_MAX_CALLS" in warning for warning in settings.warnings] == [True]
    assert Settings(max_requests=9).max_requests == 9


@pytest.mark.usefixtures("renamed")
def test_a_wrong_value_by_an_old_name_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_MAX_CALLS", "none")
    with pytest.raises(ValidationError, match="max_requests"):
        Settings()


def test_every_setting_that_was_renamed_is_read_and_nothing_is_warned_of_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().warnings == ()
    monkeypatch.setenv("LAPS_TRITON_CALLS", "3")
    assert Settings().triton_concurrency == 3
    assert RENAMED.keys().isdisjoint(Settings.model_fields)
    assert set(RENAMED.values()) <= Settings.model_fields.keys()


def test_batch_sizes_are_powers_of_two_up_to_the_limit() -> None:
    assert Settings(max_batch_views=1).batch_sizes == (1,)
    assert Settings(max_batch_views=6).batch_sizes == (1, 2, 4)
    assert Settings().batch_sizes == (1, 2, 4)
    assert Settings(engine="triton", triton_url="grpc://triton:8001").batch_sizes == (1, 2, 4, 8, 16)
    assert Settings(device="tensorrt").batch_sizes == (1, 2, 4, 8, 16)
    assert Settings(device="cuda", max_batch_views=2).batch_sizes == (1, 2)
    assert Settings(max_batch_views=64).batch_sizes == (1, 2, 4, 8, 16, 32, 64)


@pytest.mark.parametrize(
    "url",
    [
        "triton:8001",
        "grpc://triton",
        "ftp://triton:8001",
        "grpcs://triton",
        "grpc://triton:8001/v2",
        "http://me@triton:8000",
        "grpc://:1",
    ],
)
def test_an_address_of_which_a_part_would_be_ignored_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be grpc://host:port"):
        Settings(engine="triton", triton_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "grpc://triton:8001",
        "http://10.0.0.7:8000",
        "grpc://[::1]:8001",
        "grpcs://triton:8001",
        "https://triton:8000",
    ],
)
def test_addresses_of_triton(url: str) -> None:
    assert Settings(engine="triton", triton_url=url).triton_url == url


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"", "no certificate"), (b"no PEM", "no certificate")]
)
def test_a_ca_file_without_certificates_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValidationError, match=f"authorities.pem has no certificates .*{said}"):
        Settings(triton_url="grpcs://triton:8001", triton_ca_file=path)


def test_a_ca_file_that_no_connection_would_read_is_refused() -> None:
    path = Path(ssl.get_default_verify_paths().cafile or pytest.skip("this system has no file of authorities"))
    assert Settings(triton_url="https://triton:8000", triton_ca_file=path).triton_ca_file == path
    with pytest.raises(ValidationError, match="is for grpcs:// and https://"):
        Settings(triton_url="grpc://triton:8001", triton_ca_file=path)


def test_triton_needs_an_address() -> None:
    with pytest.raises(ValidationError, match="needs triton_url"):
        Settings(engine="triton")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_DEFAULT_MODEL", "")
    monkeypatch.setenv("LAPS_PORT", "")
    assert (Settings().default_model, Settings().port) == ((), 8000)


@pytest.mark.parametrize(
    ("given", "folders"),
    [
        ("models", ["models"]),
        (f"models{os.pathsep}/opt/laps/models", ["models", "/opt/laps/models"]),
        (f"{os.pathsep}models{os.pathsep}", ["models"]),
        (["models", "more"], ["models", "more"]),
        ([f"models{os.pathsep}more", "third"], ["models", "more", "third"]),
        (Path(f"a{os.pathsep}b"), [f"a{os.pathsep}b"]),
    ],
    ids=str,
)
def test_a_repository_is_one_folder_or_several(
    given: object, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.model_validate({"model_repository": given}).model_repository == tuple(map(Path, folders))
    if isinstance(given, str):
        monkeypatch.setenv("LAPS_MODEL_REPOSITORY", given)
        assert Settings().model_repository == tuple(map(Path, folders))


@pytest.mark.parametrize("given", [os.pathsep, [], 7])
def test_no_folder_is_no_repository(given: object) -> None:
    with pytest.raises(ValidationError, match="model_repository"):
        Settings.model_validate({"model_repository": given})


@pytest.mark.parametrize(
    ("given", "names"), [("a", ("a",)), ("a,b", ("a", "b")), (" a , b,", ("a", "b")), (",", ()), ("[1]", ("[1]",))]
)
def test_default_models_have_commas_between_them(
    given: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPS_DEFAULT_MODEL", given)
    assert Settings().default_model == names


@pytest.mark.parametrize("origin", ["https://app.example/", "app.example", "*", "https://", "https://a b", "null"])
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("LAPS_CORS_ORIGINS", f"https://app.example, http://localhost:3000,{origin}")
    with pytest.raises(ValidationError, match="is no origin"):
        Settings()
    monkeypatch.setenv("LAPS_CORS_ORIGINS", "https://app.example, http://localhost:3000,http://[::1]:8080")
    assert Settings().cors_origins == ("https://app.example", "http://localhost:3000", "http://[::1]:8080")


def test_two_ports_are_not_one() -> None:
    with pytest.raises(ValidationError, match="internal_port is 9000"):
        Settings(port=9000, internal_port=9000)
