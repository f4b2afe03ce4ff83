from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from laps_export.errors import CheckpointError
from laps_export.families.numpy_pickle import NUMBERS, read_arrays
from support.damaged_bytes import damaged
from support.i3d_recipe import as_pickle, nested
from support.python2_pickle import python2_pickle

ARRAYS = {
    "params.a.kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "params.a.bias": np.array([1.5], np.float32),
    "batch_stats.b.mean": np.zeros((1, 1, 1, 1, 5), np.float32),
}
FILE = as_pickle(ARRAYS)
PYTHON_2 = python2_pickle(nested(ARRAYS))


def test_arrays_come_back_by_their_paths() -> None:
    read = read_arrays(FILE, name="weights.ckpt")
    assert read.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(read[name], values)
        assert not read[name].flags.writeable


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param({"a": _Calls(print, "ran")}, "builtins.print", id="a function"),
        pytest.param({"a": _Calls(np.zeros, (1 << 30,))}, "zeros", id="another function of numpy's"),
        pytest.param({"a": _Calls(np.ndarray, (4,))}, "otherwise than numpy does", id="an array by its class"),
        pytest.param({"a": np.array([1.0])}, "f8", id="float64"),
        pytest.param({"a": np.array([1.0], ">f4")}, "little-endian", id="big-endian"),
        pytest.param({"a": np.array(["x"], object)}, "EMPTY_LIST", id="objects"),
        pytest.param({"a": np.asfortranarray(np.ones((2, 3), np.float32))}, "plain array", id="another order"),
        pytest.param({"a": np.zeros(0, np.float32)}, "the shape (0,)", id="an empty array"),
        pytest.param({"a": [np.ones(3, np.float32)]}, "EMPTY_LIST", id="a list"),
        pytest.param({"a": {"b": "text"}}, "a.b is neither", id="text"),
        pytest.param({1: np.ones(3, np.float32)}, "no text", id="a key that is a number"),
        pytest.param(np.ones(3, np.float32), "the whole is neither", id="no dict"),
    ],
)
def test_anything_else_is_refused_and_nothing_runs(
    content: object, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError) as refused:
        read_arrays(pickle.dumps(content, protocol=4), name="weights.ckpt")
    assert refused.value.code == "checkpoint_refused"
    assert why in refused.value.message
    assert capsys.readouterr().out == ""


def test_a_dict_that_is_there_twice_is_refused() -> None:
    """Each level twice the last: sixteen levels would be followed for hours."""
    tree: dict[str, object] = {"a": np.ones(1, np.float32)}
    for _ in range(12):
        tree = {"a": tree, "b": tree}
    with pytest.raises(CheckpointError, match="there twice"):
        read_arrays(pickle.dumps(tree, protocol=4), name="weights.ckpt")


def test_arrays_that_share_their_numbers_are_refused() -> None:
    """Each would be copied later: the memory of a thousand files for one."""
    shared = np.ones(300, np.float32)
    with pytest.raises(CheckpointError, match="share their numbers"):
        read_arrays(pickle.dumps({str(i): shared for i in range(1000)}, protocol=4), name="weights.ckpt")


@pytest.mark.parametrize(
    "written", [as_pickle, lambda arrays: python2_pickle(nested(arrays))], ids=["Python 3", "Python 2"]
)
def test_other_types_of_numbers_are_read_where_they_are_asked_for(written: Callable[[object], bytes]) -> None:
    file = written({**ARRAYS, "count": np.array([7], np.int64)})
    assert read_arrays(file, name="weights.pkl", types=NUMBERS)["count"].tolist() == [7]
    with pytest.raises(CheckpointError, match="'i8'"):
        read_arrays(file, name="weights.pkl")


def test_what_python_2_wrote_is_what_numpy_reads_in_it() -> None:
    theirs, ours = pickle.loads(PYTHON_2, encoding="latin1"), read_arrays(PYTHON_2, name="weights.pkl")
    assert ours.keys() == ARRAYS.keys()
    for name, values in ours.items():
        place = theirs
        for part in name.split("."):
            place = place[part]
        np.testing.assert_array_equal(values, place)
        np.testing.assert_array_equal(values, ARRAYS[name])


def test_a_place_far_away_in_the_memo_is_refused_before_memory_is_taken() -> None:
    file = b"\x80\x04}r" + (0xFFFFFFF0).to_bytes(4, "little") + b"."
    with pytest.raises(CheckpointError, match="LONG_BINPUT"):
        read_arrays(file, name="weights.ckpt")


def test_shape_and_bytes_have_to_fit() -> None:
    place = FILE.index(b"K\x02K\x03K\x04")  # the shape (2, 3, 4)
    for shape in (b"K\x02K\x03K\x05", b"K\x00K\x03K\x04"):
        with pytest.raises(CheckpointError, match="an array"):
            read_arrays(FILE[:place] + shape + FILE[place + 6 :], name="weights.ckpt")


@pytest.mark.parametrize("whole", [FILE, PYTHON_2], ids=["Python 3", "Python 2"])
def test_damaged_files_are_told_whatever_byte_it_is(whole: bytes) -> None:
    ends = set()

    @settings(max_examples=1000)
    @given(damaged(whole))
    def is_told(file: bytes) -> None:
        try:
            read = read_arrays(file, name="weights.ckpt")
        except CheckpointError as exc:
            ends.add(exc.code)
        else:
            ends.add("read")
            assert all(values.dtype == np.float32 for values in read.values())

    is_told()
    assert ends == {"read", "not_a_checkpoint", "checkpoint_refused"}


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", FILE[:-1], FILE[: len(FILE) // 2], b"\x80\x04."])
def test_what_is_no_pickle_of_arrays_is_told(content: bytes) -> None:
    with pytest.raises(CheckpointError) as told:
        read_arrays(content, name="weights.ckpt")
    assert told.value.code == "not_a_checkpoint"
    assert "weights.ckpt" in told.value.message


def test_persistent_names_are_refused() -> None:
    class Naming(pickle.Pickler):
        def persistent_id(self, obj: object) -> str | None:
            return "far away" if isinstance(obj, np.ndarray) else None

    file = io.BytesIO()
    Naming(file, protocol=4).dump({"a": np.ones(1, np.float32)})
    with pytest.raises(CheckpointError, match="BINPERSID"):
        read_arrays(file.getvalue(), name="weights.ckpt")
