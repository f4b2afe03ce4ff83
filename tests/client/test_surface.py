"""What a user of the package sees: the same methods twice, types, and a light import."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import resources
from importlib.metadata import requires, version
from typing import Any

import httpx
import pytest

import laps_client
from laps_client import AsyncLapsClient, BadRequest, LapsClient, Timeouts
from laps_client._options import Options
from laps_client._timeouts import Deadline, ShrinkingTimeouts
from support.response_bodies import BODY


def methods(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if inspect.isfunction(member) and name[0] != "_"}


def as_async(signature: str) -> str:
    """What the async client's signature is where the blocking one's is this."""
    for ours, theirs in {
        "'Video'": "'AsyncVideo'",
        "Iterable[P]": "Iterable[P] | AsyncIterable[P]",
        "Generator[Event, None, None]": "AsyncGenerator[Event, None]",
        "Generator[Outcome[P], None, None]": "AsyncGenerator[Outcome[P], None]",
    }.items():
        signature = signature.replace(ours, theirs)
    return signature


def options_of(method: Callable[..., object]) -> set[str]:
    return {name for name, item in inspect.signature(method).parameters.items() if item.kind is item.KEYWORD_ONLY}


def test_stream_and_classify_many_take_what_classify_takes() -> None:
    shared = options_of(LapsClient.classify) - {"on_progress", "request_id"}
    assert shared == set(Options.__annotations__)
    assert options_of(LapsClient.stream) == {"on_progress", "request_id"}
    assert options_of(LapsClient.classify_many) == {"on_progress", "on_event", "concurrency"}
    with LapsClient() as client, pytest.raises(TypeError, match="fraems"):
        client.stream(b"", fraems=False)  # type: ignore[call-arg]


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    blocking, waiting = methods(LapsClient), methods(AsyncLapsClient)
    iterating = {"stream", "classify_many"}
    assert set(blocking) == set(waiting) == {"classify", "models", "model", "ready", "close"} | iterating
    for name, method in blocking.items():
        ours, theirs = inspect.signature(method), inspect.signature(waiting[name])
        assert as_async(str(ours)) == str(theirs)
        assert not inspect.iscoroutinefunction(method)
        assert inspect.iscoroutinefunction(waiting[name]) == (name not in iterating)
    made, made_async = (str(inspect.signature(kind)) for kind in (LapsClient, AsyncLapsClient))
    assert made.replace("httpx.Client", "httpx.AsyncClient") == made_async


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, laps_client; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "laps_client" in loaded
    assert "httpx" in loaded
    heavy = {"torch", "fastapi", "starlette", "pydantic", "av", "numpy", "onnxruntime", "laps_server", "laps_export"}
    heavy |= {"pandas", "matplotlib", "typer"}  # httpx itself loads rich where it is installed
    assert heavy.isdisjoint(loaded)


def test_httpx_is_the_only_dependency_and_types_are_shipped() -> None:
    assert [line for line in requires("laps-client") or [] if "extra ==" not in line] == ["httpx<1,>=0.28"]
    assert resources.files("laps_client").joinpath("py.typed").is_file()
    assert laps_client.__version__ == version("laps-client")


def test_every_exported_name_is_there() -> None:
    assert all(hasattr(laps_client, name) for name in laps_client.__all__)
    assert len(set(laps_client.__all__)) == len(laps_client.__all__)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost", "ftp://host", "http://", "", "http://host:port"])
@pytest.mark.parametrize("kind", [LapsClient, AsyncLapsClient])
def test_an_address_that_cannot_be_one_is_refused_at_once(kind: type[LapsClient], url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        kind(url)
    assert caught.value.code == "bad_address"
    assert "http://127.0.0.1:8000" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["connect_s", "write_s", "read_s", "total_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Timeouts(**{name: value})


def test_timeouts_shrink_with_the_deadline() -> None:
    limits = Timeouts(connect_s=5, write_s=30, read_s=300, total_s=None)
    free = ShrinkingTimeouts(limits, Deadline.after(None), read_until_deadline=False)
    assert dict(free) == {"connect": 5, "write": 30, "read": 300, "pool": None}
    soon = ShrinkingTimeouts(limits, Deadline.after(10), read_until_deadline=False)
    assert dict(soon) == pytest.approx({"connect": 5, "write": 10, "read": 10, "pool": 10}, abs=0.5)
    far = ShrinkingTimeouts(limits, Deadline.after(1000), read_until_deadline=True)
    assert far["read"] == pytest.approx(1000, abs=0.5)
    over = ShrinkingTimeouts(limits, Deadline(0.0), read_until_deadline=True)
    assert all(value is not None and 0 < value < 0.1 for value in over.values()), "0 would not wait, but not block"


@pytest.mark.parametrize(("old", "new"), [("Segment", "SegmentAnswer"), ("Grid", "ViewGrid")])
def test_an_old_name_can_be_imported_with_a_warning_that_points_at_its_user(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"laps_client.{old} is now {new}") as caught:
        found = getattr(laps_client, old)
    assert found is getattr(laps_client, new)
    assert caught[0].filename == __file__
    assert old not in laps_client.__all__
    with pytest.warns(DeprecationWarning, match=new):
        exec(f"from laps_client import {old}")


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Segments'"):
        _ = laps_client.Segments  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"view_details": True}, {"view_details": "true"}),
        ({"explain": True}, {"explain": "true"}),
        ({"explain": True, "view_details": True}, {"view_details": "true"}),
        ({"explain": False}, {}),
    ],
    ids=["new", "old", "both", "old and off"],
)
@pytest.mark.parametrize("name", ["classify", "stream", "classify_many"])
@pytest.mark.parametrize("kind", [LapsClient, AsyncLapsClient])
def test_view_details_are_asked_for_by_their_name_and_with_a_warning_by_the_old_one(
    kind: type[Any], name: str, options: dict[str, bool], query: dict[str, str]
) -> None:
    """The old name is sent as it is: older servers know no other."""
    sent: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(dict(request.url.params))
        return httpx.Response(200, json=BODY)

    given: Any = [__file__] if name == "classify_many" else b"video"

    def ask() -> None:
        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            found = getattr(LapsClient(http=http), name)(given, **options)
            _ = found if name == "classify" else list(found)

    async def ask_async() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            found = getattr(AsyncLapsClient(http=http), name)(given, **options)
            _ = await found if name == "classify" else [item async for item in found]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind is LapsClient:
            ask()
        else:
            asyncio.run(ask_async())
    assert sent == [query]
    assert [(item.category, item.filename) for item in caught] == (
        [(DeprecationWarning, __file__)] if "explain" in options else []
    )
