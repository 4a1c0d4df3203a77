"""Turns the frozen dataclasses of the domain into JSON and back, driven by their own type hints. Used by
memory_codec.py and by the SQLite history.

A coder is compiled once a type, so that coding costs little in every cycle. Reading is lenient where versions differ
(an unknown field is ignored, a missing one takes its default) and strict where a value is of another kind: ValueError.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

_SCALARS: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}


class Coder(NamedTuple):
    """to_json gives what json.dumps takes; from_json raises ValueError for what to_json never gives."""

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


@cache
def coder(kind: Any) -> Coder:
    """The coder of a type: scalars, enums, dates, dataclasses, tuple[X, ...], frozenset[X], Mapping[str, X], unions of
    scalars, and X | None. TypeError for any other."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _scalar(kind)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _collection(coder(arguments[0]), tuple)
    if origin is frozenset:
        return _collection(coder(arguments[0]), frozenset)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(coder(arguments[1]))
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return Coder(lambda value: value.value, kind)
        if issubclass(kind, (datetime, date)):
            return _calendar(kind)
        if is_dataclass(kind):
            return _dataclass(kind)
    raise TypeError(f"{kind!r} cannot be written as JSON here")


def _same(value: Any) -> Any:
    return value


def _scalar(kind: type) -> Coder:
    accepted = _SCALARS[kind]
    made: Callable[[Any], Any] = float if kind is float else _same

    def from_json(value: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{value!r} is no {kind.__name__}")
        return made(value)

    return Coder(_same, from_json)


def _union(options: tuple[Any, ...]) -> Coder:
    real = [option for option in options if option is not types.NoneType]
    if len(real) == 1:
        inner = coder(real[0])
        return Coder(
            lambda value: None if value is None else inner.to_json(value),
            lambda value: None if value is None else inner.from_json(value),
        )
    accepted = tuple(option for option in options if option in _SCALARS or option is types.NoneType)
    if len(accepted) != len(options):
        raise TypeError(f"only scalars can share a field: {options!r}")

    def from_json(value: Any) -> Any:
        if not isinstance(value, accepted):
            raise ValueError(f"{value!r} is none of {options!r}")
        return value

    return Coder(_same, from_json)


def _collection(inner: Coder, make: Callable[[Any], Any]) -> Coder:
    # Sets are sorted, so that the same value is always the same text.
    order: Callable[[Any], Any] = sorted if make is frozenset else _same

    def from_json(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is no list")
        return make(inner.from_json(item) for item in value)

    return Coder(lambda value: [inner.to_json(item) for item in order(value)], from_json)


def _mapping(inner: Coder) -> Coder:
    def from_json(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no object")
        return {key: inner.from_json(item) for key, item in value.items()}

    return Coder(lambda value: {key: inner.to_json(item) for key, item in value.items()}, from_json)


def _calendar(kind: type[date]) -> Coder:
    def from_json(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no {kind.__name__}")
        return kind.fromisoformat(value)

    return Coder(lambda value: value.isoformat(), from_json)


def _dataclass(kind: type) -> Coder:
    hints = get_type_hints(kind)
    known = {field.name: coder(hints[field.name]) for field in fields(kind) if field.init}
    required = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}

    def to_json(value: Any) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, inner in known.items():
            item = getattr(value, name)
            # What is empty anyway by default is most of a memory, and would be most of the text.
            if name in required or not (item is None or item == () or item == {} or item == ""):
                written[name] = inner.to_json(item)
        return written

    def from_json(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no {kind.__name__}")
        missing = required - value.keys()
        if missing:
            raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
        return kind(**{name: known[name].from_json(item) for name, item in value.items() if name in known})

    return Coder(to_json, from_json)
