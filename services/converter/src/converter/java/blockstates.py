"""Block state files: which models a block shows in which state, for both forms, `variants` and `multipart`.

`read_blockstate` gives the properties that matter and a lookup. What becomes of a property is decided elsewhere
(`bedrock.states`). Called by `translate.blocks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from converter.errors import BadFile
from converter.java.models import UntranslatableError

_MAX_PROPERTIES = 16
_MAX_VARIANTS = 4_096
_DEFAULTS = ("false", "none", "north", "y", "bottom", "lower", "straight", "floor", "single", "left")
"""Usual default values, the likeliest first: the real default is in Java code and in no file."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """One model and how it is turned: `x` and `y` in degrees, 0 to 270."""

    model: str
    x: int = 0
    y: int = 0
    uvlock: bool = False


@dataclass(frozen=True, slots=True)
class BlockState:
    """A block state file. `properties` holds those that change the look, with all values that the file names."""

    properties: Mapping[str, tuple[str, ...]]
    rules: tuple[_Rule, ...]
    is_multipart: bool = False
    notes: tuple[str, ...] = ()

    def look(self, values: Mapping[str, str]) -> tuple[Appearance, ...]:
        """What is shown when the properties have these values: one variant, or all parts that apply; maybe nothing."""
        found = (rule.appearance for rule in self.rules if rule.applies(values))
        if self.is_multipart:
            return tuple(found)
        first = next(found, None)
        return (first,) if first else ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """Shown when any of `alternatives` holds: each maps property to possible values; an empty one always holds."""

    alternatives: tuple[Mapping[str, frozenset[str]], ...]
    appearance: Appearance

    def applies(self, values: Mapping[str, str]) -> bool:
        return any(
            all(values.get(name, next(iter(allowed))) in allowed for name, allowed in condition.items())
            for condition in self.alternatives
        )


@dataclass
class _Notes:
    """Notes in order of appearance, each once."""

    texts: dict[str, None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        self.texts[text] = None


def default_value(values: tuple[str, ...]) -> str:
    """The likely default among the values of a property: usual names, else the smallest number, else the first."""
    for usual in _DEFAULTS:
        if usual in values:
            return usual
    if all(value.isdecimal() for value in values):
        return min(values, key=int)
    return values[0]


def read_blockstate(content: Any) -> BlockState:
    """The block state of a parsed file. BadFile when it is malformed, UntranslatableError when it shows nothing."""
    if not isinstance(content, dict):
        raise BadFile("the block state is not a JSON object")
    if "forge_marker" in content:
        raise UntranslatableError("it uses Forge's own old block state format")
    notes = _Notes()
    if isinstance(content.get("variants"), dict):
        rules = _variants(content["variants"], notes)
        is_multipart = False
    elif isinstance(content.get("multipart"), list):
        rules = _multipart(content["multipart"], notes)
        is_multipart = True
    else:
        raise BadFile("the block state has neither variants nor multipart")
    if not rules:
        raise UntranslatableError("the block state names no model: the block is invisible or drawn by code")
    properties = _properties(rules)
    relevant = properties if is_multipart else _that_matter(properties, rules)
    return BlockState(relevant, rules, is_multipart, tuple(notes.texts))


def _variants(raw: dict[str, Any], notes: _Notes) -> tuple[_Rule, ...]:
    if len(raw) > _MAX_VARIANTS:
        raise UntranslatableError(f"the block state has more than {_MAX_VARIANTS} variants")
    rules = []
    for key, value in raw.items():
        if key == "inventory":  # Minecraft 1.12's look of the item; later versions do not read it
            continue
        condition: dict[str, frozenset[str]] = {}
        for pair in key.split(",") if key not in ("", "normal") else ():
            name, separator, wanted = pair.partition("=")
            if not separator:
                raise BadFile(f"the variant {key[:60]!r} is not a list of property=value")
            condition[name.strip()] = frozenset({wanted.strip()})
        rules.append(_Rule((condition,), _appearance(value, notes)))
    return tuple(rules)


def _multipart(raw: list[Any], notes: _Notes) -> tuple[_Rule, ...]:
    if len(raw) > _MAX_VARIANTS:
        raise UntranslatableError(f"the block state has more than {_MAX_VARIANTS} parts")
    rules = []
    for part in raw:
        if not isinstance(part, dict) or "apply" not in part:
            raise BadFile("a part of the block state has nothing to apply")
        rules.append(_Rule(_when(part.get("when")), _appearance(part["apply"], notes)))
    return tuple(rules)


def _when(raw: Any) -> tuple[Mapping[str, frozenset[str]], ...]:
    """Alternatives of a `when`: absent, {a: "1|2"}, {OR: [...]} or {AND: [...]}."""
    if raw is None:
        return ({},)
    if not isinstance(raw, dict):
        raise BadFile("the condition of a part is not a JSON object")
    if isinstance(raw.get("OR"), list):
        return tuple(alternative for each in raw["OR"] for alternative in _when(each))
    if isinstance(raw.get("AND"), list):
        merged: dict[str, frozenset[str]] = {}
        for each in raw["AND"]:
            alternatives = _when(each)
            if len(alternatives) != 1:
                raise UntranslatableError("a part's condition nests OR in AND")
            for name, allowed in alternatives[0].items():
                merged[name] = merged.get(name, allowed) & allowed
        return (merged,)
    return ({str(name): frozenset(_text(value).split("|")) for name, value in raw.items()},)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _appearance(raw: Any, notes: _Notes) -> Appearance:
    if isinstance(raw, list):
        if len(raw) > 1:
            notes.add("of several random variants the heaviest is shown")
        choices = [each for each in raw if isinstance(each, dict)]
        raw = max(choices, key=_weight, default=None)
    if not isinstance(raw, dict) or not isinstance(raw.get("model"), str):
        raise BadFile("a variant of the block state names no model")
    if raw.get("z"):
        raise UntranslatableError("a variant of the block state is turned around z")
    x, y = (raw.get(axis, 0) for axis in "xy")
    if x not in (0, 90, 180, 270) or y not in (0, 90, 180, 270):
        raise BadFile("a variant of the block state is turned by other than quarter turns")
    return Appearance(raw["model"], int(x), int(y), raw.get("uvlock") is True)


def _weight(choice: dict[str, Any]) -> float:
    weight = choice.get("weight", 1)
    return weight if isinstance(weight, int | float) else 1


def _properties(rules: tuple[_Rule, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for rule in rules:
        for condition in rule.alternatives:
            for name, allowed in condition.items():
                found.setdefault(name, {}).update(dict.fromkeys(sorted(allowed)))
    if len(found) > _MAX_PROPERTIES:
        raise UntranslatableError(f"the block state has more than {_MAX_PROPERTIES} properties")
    return {name: _completed(tuple(values)) for name, values in found.items()}


def _completed(values: tuple[str, ...]) -> tuple[str, ...]:
    """A part often names only "true": the other value exists all the same."""
    return ("false", "true") if set(values) <= {"false", "true"} else values


def _that_matter(properties: dict[str, tuple[str, ...]], rules: tuple[_Rule, ...]) -> dict[str, tuple[str, ...]]:
    """Without the properties whose value never changes what is shown, such as `waterlogged` or `powered` of a door."""
    relevant = {}
    for name, values in properties.items():
        seen: dict[frozenset[tuple[str, frozenset[str]]], Appearance] = {}
        for rule in rules:
            others = frozenset((other, allowed) for other, allowed in rule.alternatives[0].items() if other != name)
            if seen.setdefault(others, rule.appearance) != rule.appearance:
                relevant[name] = values
                break
    return relevant
