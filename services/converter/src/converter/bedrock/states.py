"""Java block properties to Bedrock states and traits: what placing a block sets, what only a script sets, what is lost.

`plan_states` decides; the plan then lists every combination of Bedrock values with the Java values it stands for.
Bedrock allows 16 values a state and 65,536 permutations in all. Called by `translate.blocks`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converter.bedrock.names import bedrock_name
from converter.java.blockstates import default_value
from converter.java.models import UntranslatableError

MAX_VALUES = 16
MAX_PERMUTATIONS = 65_536
_MAX_OF_ONE_BLOCK = 2_048

BedrockValue = str | int | bool
_DIRECTION_TRAIT = "minecraft:placement_direction"
_POSITION_TRAIT = "minecraft:placement_position"
_HORIZONTAL = ("north", "south", "east", "west")
_ALL_SIDES = ("north", "south", "east", "west", "up", "down")
_DIRECTION_NAMES = ("facing", "horizontal_facing", "direction")
_CONNECTION_VALUES = {"true", "false", "none", "low", "tall", "side", "up"}
_STATE_VALUE = re.compile(r"[a-z0-9_]{1,64}")
_AXIS_OF = {"up": "y", "down": "y", "north": "z", "south": "z", "east": "x", "west": "x"}


@dataclass(frozen=True, slots=True)
class State:
    """One Bedrock state. `values` pairs each value with the Java properties it stands for; the first is the default."""

    name: str
    values: tuple[tuple[BedrockValue, Mapping[str, str]], ...]
    trait: str | None = None


@dataclass(frozen=True, slots=True)
class StatePlan:
    """States of a block. `fixed` are properties that keep one value; `notes` say what that loses."""

    states: tuple[State, ...]
    fixed: Mapping[str, str]
    notes: tuple[str, ...]
    faces_player: bool = True

    @property
    def permutations(self) -> int:
        """How many combinations of values there are."""
        count = 1
        for state in self.states:
            count *= len(state.values)
        return count

    def description(self) -> dict[str, Any]:
        """The "states" and "traits" of the block's description, without empty ones."""
        made: dict[str, Any] = {}
        states = {state.name: [value for value, _ in state.values] for state in self.states if state.trait is None}
        if states:
            made["states"] = states
        traits: dict[str, dict[str, Any]] = {}
        for state in self.states:
            if state.trait:
                traits.setdefault(state.trait, {"enabled_states": []})["enabled_states"].append(state.name)
        if _DIRECTION_TRAIT in traits:
            traits[_DIRECTION_TRAIT]["y_rotation_offset"] = 180 if self.faces_player else 0
        if traits:
            made["traits"] = traits
        return made

    def combinations(self) -> Iterator[tuple[tuple[BedrockValue, ...], dict[str, str]]]:
        """(value of each state, all Java properties), the defaults first."""
        for choice in itertools.product(*(state.values for state in self.states)):
            java = dict(self.fixed)
            for _, values in choice:
                java.update(values)
            yield tuple(value for value, _ in choice), java


def condition(state: State, value: BedrockValue) -> str:
    """Molang that holds when the state has the value."""
    query = f"q.block_state('{state.name}')"
    if isinstance(value, bool):
        return query if value else f"!{query}"
    return f"{query} == {value}" if isinstance(value, int) else f"{query} == '{value}'"


def plan_states(properties: Mapping[str, tuple[str, ...]], namespace: str, budget: int = MAX_PERMUTATIONS) -> StatePlan:
    """Decide for every property. `budget` is how many permutations the add-on may still use.

    Raises UntranslatableError for blocks that are two blocks in one.
    """
    return _Planner(properties, namespace, min(budget, _MAX_OF_ONE_BLOCK)).plan()


class _Planner:
    """Works through the properties in the order of `plan`; each step takes its own out of `left`."""

    def __init__(self, properties: Mapping[str, tuple[str, ...]], namespace: str, budget: int) -> None:
        self._left = dict(properties)
        self._namespace = bedrock_name(namespace)
        self._budget = budget
        self._states: list[State] = []
        self._fixed: dict[str, str] = {}
        self._notes: list[str] = []

    def plan(self) -> StatePlan:
        faces_player = not ({"half", "shape"} <= self._left.keys() or "in_wall" in self._left)
        self._refuse_double_blocks()
        self._fix_connections()
        self._attach_to_faces()
        self._turn_with_the_player()
        self._lie_along_an_axis()
        self._split_in_halves()
        self._fix_corner_shape()
        for name in list(self._left):
            self._add_custom(name)
        return StatePlan(tuple(self._states), self._fixed, tuple(self._notes), faces_player)

    def _refuse_double_blocks(self) -> None:
        half = set(self._left.get("half", ()))
        if "hinge" in self._left and half == {"lower", "upper"}:
            raise UntranslatableError("a door fills two blocks and opens by code, which no Bedrock block does alone")
        if set(self._left.get("part", ())) == {"head", "foot"}:
            raise UntranslatableError("it fills two blocks at once, which a Bedrock block cannot do")
        if half == {"lower", "upper"}:
            self._fix("half", "lower", "only the lower half can be placed; the upper half is put there by Java code")

    def _fix_connections(self) -> None:
        """Fences, walls, panes, cables: what joins neighbours is decided by Java code for every block."""
        names = [name for name in _ALL_SIDES if set(self._left.get(name, ("?",))) <= _CONNECTION_VALUES]
        if len([name for name in names if name in _HORIZONTAL]) < 4:
            return
        has_post = "up" in names and "down" not in names
        for name in names:
            unconnected = "false" if "false" in self._left[name] else "none"
            self._fix(name, "true" if name == "up" and has_post else unconnected, None)
        self._notes.append("it is shown without connections to its neighbours")

    def _attach_to_faces(self) -> None:
        """Buttons and levers: `face` and `facing` together tell the side of the block that it hangs on."""
        if set(self._left.get("face", ())) != {"floor", "wall", "ceiling"}:
            return
        if set(self._left.get("facing", ())) != set(_HORIZONTAL):
            return
        del self._left["face"], self._left["facing"]
        face_of = {"up": "floor", "down": "ceiling"}
        values: list[tuple[BedrockValue, Mapping[str, str]]] = [
            (side, {"face": face_of.get(side, "wall"), "facing": side if side in _HORIZONTAL else "north"})
            for side in ("up", "down", *_HORIZONTAL)
        ]
        self._states.append(State("minecraft:block_face", tuple(values), _POSITION_TRAIT))
        self._notes.append("on floors and ceilings it always points north")

    def _turn_with_the_player(self) -> None:
        for name in _DIRECTION_NAMES:
            values = set(self._left.get(name, ()))
            if not {"north", "south"} <= values <= set(_ALL_SIDES):
                continue
            del self._left[name]
            vertical = bool(values & {"up", "down"})
            state = "minecraft:facing_direction" if vertical else "minecraft:cardinal_direction"
            sides = _ALL_SIDES if vertical else _HORIZONTAL
            fallback = default_value(tuple(sorted(values)))
            paired = tuple((side, {name: side if side in values else fallback}) for side in sides)
            self._states.append(State(state, paired, _DIRECTION_TRAIT))
            return

    def _lie_along_an_axis(self) -> None:
        values = set(self._left.get("axis", ()))
        taken = {state.name for state in self._states}
        if values == {"x", "y", "z"} and "minecraft:block_face" not in taken:
            paired = tuple((side, {"axis": _AXIS_OF[side]}) for side in ("up", "down", *_HORIZONTAL))
            self._states.append(State("minecraft:block_face", paired, _POSITION_TRAIT))
        elif values == {"x", "z"} and "minecraft:cardinal_direction" not in taken:
            paired = tuple((side, {"axis": _AXIS_OF[side]}) for side in _HORIZONTAL)
            self._states.append(State("minecraft:cardinal_direction", paired, _DIRECTION_TRAIT))
        else:
            return
        del self._left["axis"]

    def _split_in_halves(self) -> None:
        for name in ("half", "type"):
            values = set(self._left.get(name, ()))
            if not {"bottom", "top"} <= values <= {"bottom", "top", "double"}:
                continue
            del self._left[name]
            if "double" in values:
                self._notes.append("two slabs in one place do not join to a double slab")
            paired = tuple((half, {name: half}) for half in ("bottom", "top"))
            self._states.append(State("minecraft:vertical_half", paired, _POSITION_TRAIT))
            return

    def _fix_corner_shape(self) -> None:
        if "straight" in self._left.get("shape", ()):
            self._fix("shape", "straight", "it does not form corners with its neighbours")

    def _fix(self, name: str, value: str, note: str | None) -> None:
        del self._left[name]
        self._fixed[name] = value
        if note:
            self._notes.append(note)

    def _add_custom(self, name: str) -> None:
        values = self._left[name]
        default = default_value(values)
        room = self._budget
        for state in self._states:
            room //= len(state.values)
        state_name = f"{self._namespace}:{bedrock_name(name)}"
        if not all(_STATE_VALUE.fullmatch(value) for value in values) or any(
            s.name == state_name for s in self._states
        ):
            self._fix(name, default, f"its state {name[:40]} stays as it is: Bedrock cannot name it or its values")
        elif len(values) > MAX_VALUES:
            self._fix(
                name, default, f"its state {name} has {len(values)} values, more than Bedrock's 16; it stays {default}"
            )
        elif len(values) > room:
            self._fix(name, default, f"its state {name} stays {default}: it would make too many permutations")
        else:
            del self._left[name]
            ordered = [default, *(value for value in values if value != default)]
            paired = tuple((typed, {name: value}) for value, typed in zip(ordered, _typed(ordered), strict=True))
            self._states.append(State(state_name, paired))
            self._notes.append(f"its state {name} stays {default}: only the mod's Java code changes it")


def _typed(values: list[str]) -> list[BedrockValue]:
    """All booleans, all integers, or all strings: Bedrock does not mix them."""
    if set(values) <= {"true", "false"}:
        return [value == "true" for value in values]
    if all(value.isdecimal() and len(value) < 6 and str(int(value)) == value for value in values):
        return [int(value) for value in values]
    return list(values)
