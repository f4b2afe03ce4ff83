"""The error tree: drawn, whole, and reached from every exception of httpx and every code of the server."""

from __future__ import annotations

import inspect
import pickle
import re

import httpx
import pytest

import laps_client
from laps_client import errors
from laps_client._httpx_errors import HTTPX_ERRORS, TRANSLATIONS, translated, translation_of
from laps_client._responses import ReadResponse, error_of
from laps_client.errors import (
    BadAnswer,
    BadRequest,
    BadVideo,
    DeadlineExceeded,
    Forbidden,
    LapsError,
    NotFound,
    QuotaExceeded,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from laps_server.api.errors import STATUS
from laps_server.errors import MediaError

FOREIGN_ERRORS = [
    kind for name in httpx.__all__ if inspect.isclass(kind := getattr(httpx, name)) and issubclass(kind, Exception)
]
TREE = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, LapsError)]


def instance(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        request = httpx.Request("GET", "http://host")
        return kind("said", request=request, response=httpx.Response(500, request=request))
    return (
        kind()
        if kind in (httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead)
        else kind("said")
    )


def test_the_table_names_every_exception_of_httpx_and_nothing_else() -> None:
    assert len(FOREIGN_ERRORS) > 20
    assert set(TRANSLATIONS) == set(FOREIGN_ERRORS)


@pytest.mark.parametrize("kind", FOREIGN_ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_is_caught_and_becomes_one_of_the_tree(kind: type[Exception]) -> None:
    exc = instance(kind)
    assert isinstance(exc, HTTPX_ERRORS)
    error = translated(exc, where="http://host", request_id="r")
    assert isinstance(error, TRANSLATIONS[kind].becomes)
    assert (error.code, error.request_id, error.status) == (TRANSLATIONS[kind].code, "r", None)
    assert error.message.startswith("http://host: ")
    assert len(error.message) > len("http://host: ")


def test_an_exception_that_a_later_httpx_adds_is_taken_for_its_base() -> None:
    class NewTimeout(httpx.ConnectTimeout):
        pass

    assert translation_of(NewTimeout("said")) is TRANSLATIONS[httpx.ConnectTimeout]


def test_only_a_lost_or_unopened_connection_is_worth_another_try() -> None:
    assert {kind.__name__ for kind, translation in TRANSLATIONS.items() if translation.retry} == {
        "HTTPError",
        "RequestError",
        "TransportError",
        "NetworkError",
        "ProtocolError",
        "ConnectError",
        "ReadError",
        "WriteError",
        "CloseError",
        "RemoteProtocolError",
        "ConnectTimeout",
        "WriteTimeout",
    }


def test_the_picture_of_the_tree_is_the_tree() -> None:
    picture = str(errors.__doc__).split("::")[1].split("\n\n")[1]
    drawn = re.findall(r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+)", picture, re.MULTILINE)
    parents: list[str] = []
    seen = {}
    for indent, name in drawn:
        depth = len(indent) // 4
        parents[depth:] = [name]
        seen[name] = parents[depth - 1] if depth else "Exception"
    assert seen == {kind.__name__: kind.__mro__[1].__name__ for kind in TREE}


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_errors_are_exported_and_survive_pickling(kind: type[LapsError]) -> None:
    assert getattr(laps_client, kind.__name__) is kind
    error = kind("said", code="c", hint="h", status=418, request_id="r", retry_after_s=1.5)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error) == "said; h [c, HTTP 418, request r]"


MEDIA_ERRORS: list[type[MediaError]] = [MediaError, *MediaError.__subclasses__()]
MEDIA_CODES = {kind.code for kind in MEDIA_ERRORS}
BY_STATUS: dict[int, type[LapsError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    408: Unavailable,
    413: TooLarge,
    422: BadRequest,
    429: QuotaExceeded,
    499: BadRequest,
    500: ServerError,
    503: Unavailable,
    504: DeadlineExceeded,
}


@pytest.mark.parametrize(("code", "status"), STATUS.items())
def test_every_code_of_the_server_has_its_class(code: str, status: int) -> None:
    envelope = b'{"error": {"code": "%s", "message": "m", "hint": null, "request_id": "s"}}' % code.encode()
    error = error_of(ReadResponse(status, {"retry-after": "3"}, envelope), "mine")
    assert type(error) is (BadVideo if code in MEDIA_CODES else BY_STATUS[status])
    assert (error.code, error.message, error.hint, error.status) == (code, "m", None, status)
    assert (error.request_id, error.retry_after_s) == ("s", 3.0)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'"text"', b'{"error": "text"}', b'{"error": {"code": 3, "message": null}}', b"\xff"],
)
@pytest.mark.parametrize(
    ("status", "kind"), [(502, Unavailable), (418, BadRequest), (507, ServerError), (302, BadAnswer), (204, BadAnswer)]
)
def test_an_error_of_nobodys_format_is_still_typed(content: bytes, status: int, kind: type[LapsError]) -> None:
    error = error_of(ReadResponse(status, {}, content), "mine")
    assert type(error) is kind
    assert (error.code, error.request_id, error.status) == (f"http_{status}", "mine", status)
    assert f"HTTP {status}" in error.message
