"""JSON to frozen dataclasses and back, by the dataclasses' own types.

Field types are ``str``, ``int``, ``float``, ``bool``, ``bytes`` (base64), ``X | None``, ``tuple[X, ...]``,
``Mapping[str, Any]`` and dataclasses of these. Extra keys are left out. A missing key
whose field has no default, or a value of another type, is a :class:`Mismatch` that says where.

A dataclass may name the old keys of its fields in ``OLD_KEYS``; they count where the new key is missing or null.
"""

from __future__ import annotations

import base64
import binascii
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


class Mismatch(Exception):
    """The JSON does not have the shape; the message says where and what was expected."""


def from_json(expected: type[T], value: object) -> T:
    """Build an instance of ``expected`` from parsed JSON.

    Raises:
        Mismatch: a key is missing or a value has another type.
    """
    return cast(T, _convert(expected, value, "the answer"))


def to_json(value: object) -> Any:
    """The reverse of :func:`from_json`."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _convert(expected: Any, value: object, where: str) -> object:
    if expected in _NAMES:
        return _scalar(expected, value, where)
    if expected is bytes:
        return _base64(value, where)
    if get_origin(expected) in (Union, types.UnionType):  # only X | None
        inner = next(arm for arm in get_args(expected) if arm is not types.NoneType)
        return None if value is None else _convert(inner, value, where)
    if get_origin(expected) is tuple:
        return _tuple(get_args(expected)[0], value, where)
    if not isinstance(value, dict):
        raise Mismatch(f"{where} is {_json_name(value)}, not an object")
    return _dataclass(expected, value, where) if is_dataclass(expected) else value


def _scalar(expected: type, value: object, where: str) -> object:
    if expected is float and type(value) is int:  # JSON does not tell 1.0 from 1
        try:
            return float(value)
        except OverflowError as exc:
            raise Mismatch(f"{where} is out of range") from exc
    if type(value) is not expected:  # not isinstance: true is no integer here
        raise Mismatch(f"{where} is {_json_name(value)}, not {_NAMES[expected]}")
    return value


def _base64(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(cast(str, _scalar(str, value, where)), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Mismatch(f"{where} is not base64") from exc


def _tuple(expected: Any, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Mismatch(f"{where} is {_json_name(value)}, not a list")
    return tuple(_convert(expected, item, f"{where}[{number}]") for number, item in enumerate(value))


def _dataclass(expected: Any, value: dict[str, object], where: str) -> object:
    old_keys: Mapping[str, str] = getattr(expected, "OLD_KEYS", {})
    value = {
        **value,
        **{name: value[old] for name, old in old_keys.items() if value.get(name) is None and old in value},
    }
    hints = {name: hint for name, hint in _hints(expected).items() if name in value}
    if missing := [field.name for field in fields(expected) if field.name not in value and field.default is MISSING]:
        raise Mismatch(f"{where} lacks {', '.join(missing)}")
    try:
        return expected(**{name: _convert(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})
    except ValueError as exc:  # the dataclass checks itself at construction
        raise Mismatch(f"{where}: {exc}") from exc


@cache
def _hints(expected: type) -> dict[str, Any]:
    hints = get_type_hints(expected)
    return {field.name: hints[field.name] for field in fields(expected)}


def _json_name(value: object) -> str:
    names: dict[type, str] = {**_NAMES, dict: "an object", list: "a list"}
    return names.get(type(value), "null")
