"""The error tree: drawn as it is, and equal after a way through another process."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from laps_server import errors
from laps_server.errors import BadRequest, LapsError, ShuttingDown, TooLarge
from support.error_tree import TREE

HINTS = [pytest.param({}, id="without a hint"), pytest.param({"hint": "what would be right"}, id="with a hint")]
KINDS = pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)


def instance(kind: type[LapsError], **hint: Any) -> LapsError:
    """One of that class; a class whose message is always the same takes none."""
    takes_message = "message" in inspect.signature(kind).parameters
    return kind(*["what was wrong"][:takes_message], **hint)


@pytest.fixture(scope="module")
def another_process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_the_drawing_is_the_tree() -> None:
    drawing = str(errors.__doc__).split("::\n\n")[1].split("\n\n")[0]
    path: list[str] = []
    drawn = []
    for line in drawing.splitlines():
        row = re.fullmatch(r"    ((?:│   |    )*(?:├── |└── )?)(\w+(?: / \w+)*)(?:  .*)?", line)
        assert row, f"not a row of a tree: {line!r}"
        depth = len(row[1]) // 4
        assert depth <= len(path), f"under nothing: {line!r}"
        siblings = row[2].split(" / ")
        drawn += [(name, path[depth - 1] if depth else "Exception") for name in siblings]
        path[depth:] = [siblings[-1]]
    assert sorted(drawn) == sorted((kind.__name__, kind.__bases__[0].__name__) for kind in TREE)


@KINDS
@pytest.mark.parametrize("hint", HINTS)
def test_an_error_comes_back_equal_from_a_pickle_of_any_protocol(kind: type[LapsError], hint: dict[str, str]) -> None:
    error = instance(kind, **hint)
    error.add_note("as it was seen")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert again == error
        assert (type(again), str(again), again.args, vars(again)) == (kind, str(error), error.args, vars(error))


@KINDS
@pytest.mark.parametrize("hint", HINTS)
def test_an_error_raised_in_another_process_arrives_equal(
    kind: type[LapsError], hint: dict[str, str], another_process: ProcessPoolExecutor
) -> None:
    error = instance(kind, **hint)
    raised = another_process.submit(exec, "raise error", {"error": error}).exception()
    assert raised == error
    assert type(raised) is kind


@KINDS
def test_a_copy_is_equal_and_counts_once_in_a_set(kind: type[LapsError]) -> None:
    error = instance(kind, hint="what would be right")
    assert {error, copy.copy(error), copy.deepcopy(error)} == {error}


@pytest.mark.parametrize(
    "other",
    [
        TooLarge("another", hint="h"),
        TooLarge("said", hint="another"),
        TooLarge("said"),
        BadRequest("said", hint="h"),
        ShuttingDown(hint="h"),
        Exception("said"),
        "said",
    ],
    ids=["message", "hint", "no hint", "base class", "other branch", "foreign exception", "text"],
)
def test_errors_that_differ_in_anything_told_are_not_equal(other: object) -> None:
    assert TooLarge("said", hint="h") != other
    assert other != TooLarge("said", hint="h")
