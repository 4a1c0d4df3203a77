"""Block state files and what becomes of their properties: traits, custom states, fixed values, and limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.bedrock.states import MAX_VALUES, StatePlan, condition, plan_states
from converter.errors import BadFile
from converter.java.blockstates import Appearance, BlockState, read_blockstate
from converter.java.models import UntranslatableError

SIDES = ("north", "south", "east", "west")
MODEL = {"model": "toy:block/a"}


def variants(**by_key: Any) -> BlockState:
    return read_blockstate({"variants": by_key})


def facing(extra: str = "") -> dict[str, Any]:
    """Four variants that differ in y, as a furnace has them."""
    return {f"facing={side}{extra}": {**MODEL, "y": 90 * turn} for turn, side in enumerate(SIDES)}


def test_one_variant_has_no_properties() -> None:
    state = read_blockstate({"variants": {"": MODEL}})
    assert state.properties == {}
    assert state.look({}) == (Appearance("toy:block/a"),)


def test_variants_are_found_by_all_their_properties() -> None:
    state = read_blockstate({"variants": {"a=1,b=x": MODEL, "a=2,b=x": {**MODEL, "y": 90}}})
    assert state.properties == {"a": ("1", "2")}
    assert state.look({"a": "2"}) == (Appearance("toy:block/a", 0, 90),)


def test_a_property_that_changes_nothing_does_not_count() -> None:
    both = facing(",waterlogged=true") | facing(",waterlogged=false")
    assert set(read_blockstate({"variants": both}).properties) == {"facing"}


def test_of_random_variants_the_heaviest_is_taken_and_noted() -> None:
    state = variants(**{"": [MODEL, {"model": "toy:block/b", "weight": 5}]})
    assert state.look({})[0].model == "toy:block/b"
    assert "heaviest" in state.notes[0]


def test_parts_add_up() -> None:
    parts = [
        {"apply": {"model": "post"}},
        {"when": {"north": "true"}, "apply": {"model": "side"}},
        {"when": {"OR": [{"east": "low|tall"}, {"AND": [{"up": True}, {"west": "low"}]}]}, "apply": {"model": "e"}},
    ]
    state = read_blockstate({"multipart": parts})
    assert [each.model for each in state.look({"north": "false", "east": "none", "up": "false"})] == ["post"]
    assert [each.model for each in state.look({"north": "true", "east": "tall", "up": "false"})] == [
        "post",
        "side",
        "e",
    ]
    assert state.properties["north"] == ("false", "true")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([], BadFile),
        ({}, BadFile),
        ({"variants": {"facing": MODEL}}, BadFile),
        ({"variants": {"": {}}}, BadFile),
        ({"variants": {"": []}}, BadFile),
        ({"variants": {"": {**MODEL, "y": 45}}}, BadFile),
        ({"multipart": [{"when": {}}]}, BadFile),
        ({"multipart": [{"when": [], "apply": MODEL}]}, BadFile),
        ({"variants": {}}, UntranslatableError),
        ({"variants": {"": {**MODEL, "z": 90}}}, UntranslatableError),
        ({"forge_marker": 1, "variants": {"": MODEL}}, UntranslatableError),
    ],
)
def test_what_cannot_be_read_says_so(content: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_blockstate(content)


def plan(**properties: tuple[str, ...]) -> StatePlan:
    return plan_states(properties, "toy")


def names(made: StatePlan) -> list[str]:
    return [state.name for state in made.states]


@pytest.mark.parametrize(
    ("properties", "states", "notes"),
    [
        ({"facing": SIDES}, ["minecraft:cardinal_direction"], 0),
        ({"facing": (*SIDES, "up", "down")}, ["minecraft:facing_direction"], 0),
        ({"axis": ("x", "y", "z")}, ["minecraft:block_face"], 0),
        ({"axis": ("x", "z")}, ["minecraft:cardinal_direction"], 0),
        ({"half": ("bottom", "top")}, ["minecraft:vertical_half"], 0),
        ({"type": ("bottom", "top", "double")}, ["minecraft:vertical_half"], 1),
        ({"face": ("floor", "wall", "ceiling"), "facing": SIDES}, ["minecraft:block_face"], 1),
        ({"lit": ("false", "true")}, ["toy:lit"], 1),
        ({"facing": SIDES, "lit": ("false", "true")}, ["minecraft:cardinal_direction", "toy:lit"], 1),
        (dict.fromkeys(SIDES, ("false", "true")), [], 1),
        ({"half": ("lower", "upper")}, [], 1),
        ({"shape": ("straight", "inner_left"), "facing": SIDES}, ["minecraft:cardinal_direction"], 1),
        ({"age": tuple(str(number) for number in range(MAX_VALUES + 1))}, [], 1),
    ],
)
def test_each_property_becomes_a_trait_a_state_or_a_note(
    properties: dict[str, tuple[str, ...]], states: list[str], notes: int
) -> None:
    made = plan(**properties)
    assert names(made) == states
    assert len(made.notes) == notes


@pytest.mark.parametrize(
    "properties",
    [
        {"half": ("lower", "upper"), "hinge": ("left", "right"), "facing": SIDES},
        {"part": ("head", "foot"), "facing": SIDES},
    ],
)
def test_a_block_that_fills_two_blocks_is_refused(properties: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UntranslatableError, match="two blocks"):
        plan(**properties)


def test_machines_face_the_player_and_stairs_look_with_him() -> None:
    trait = "minecraft:placement_direction"
    assert plan(facing=SIDES).description()["traits"][trait]["y_rotation_offset"] == 180
    stairs = plan(facing=SIDES, half=("bottom", "top"), shape=("straight", "outer_left"))
    assert stairs.description()["traits"] == {
        trait: {"enabled_states": ["minecraft:cardinal_direction"], "y_rotation_offset": 0},
        "minecraft:placement_position": {"enabled_states": ["minecraft:vertical_half"]},
    }


def test_every_bedrock_value_stands_for_java_values() -> None:
    logs = dict(plan(axis=("x", "y", "z")).combinations())
    assert logs["east",] == {"axis": "x"}
    assert logs["up",] == {"axis": "y"}
    buttons = dict(plan(face=("floor", "wall", "ceiling"), facing=SIDES).combinations())
    assert buttons["down",] == {"face": "ceiling", "facing": "north"}
    assert buttons["west",] == {"face": "wall", "facing": "west"}


def test_custom_states_begin_with_the_usual_value_and_are_typed() -> None:
    assert plan(lit=("true", "false")).description()["states"] == {"toy:lit": [False, True]}
    assert plan(age=("2", "0", "1")).description()["states"] == {"toy:age": [0, 2, 1]}
    assert plan(mode=("you", "all")).description()["states"] == {"toy:mode": ["you", "all"]}


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"lit": ("false", "true")}, "!q.block_state('toy:lit')"),
        ({"age": ("0", "1")}, "q.block_state('toy:age') == 0"),
        ({"facing": SIDES}, "q.block_state('minecraft:cardinal_direction') == 'north'"),
    ],
)
def test_conditions_are_molang(properties: dict[str, tuple[str, ...]], text: str) -> None:
    state = plan(**properties).states[0]
    assert condition(state, state.values[0][0]) == text


def test_a_wall_stands_without_its_neighbours() -> None:
    heights = ("none", "low", "tall")
    made = plan(**dict.fromkeys(SIDES, heights), up=("false", "true"))
    assert made.fixed == {**dict.fromkeys(SIDES, "none"), "up": "true"}


def test_a_spent_budget_leaves_only_the_usual_look() -> None:
    made = plan_states({"lit": ("false", "true")}, "toy", budget=1)
    assert made.states == ()
    assert "too many permutations" in made.notes[0]


_NAMES = st.sampled_from(
    ["facing", "axis", "half", "type", "lit", "age", "north", "south", "east", "west", "mode", "up"]
)
_VALUES = st.lists(st.sampled_from(["true", "false", *SIDES, "up", "top", "bottom", "1", "20", "x", "y"]), min_size=1)


@given(st.dictionaries(_NAMES, _VALUES.map(lambda values: tuple(dict.fromkeys(values)))))
def test_whatever_the_properties_bedrocks_limits_hold(properties: dict[str, tuple[str, ...]]) -> None:
    made = plan(**properties)
    assert all(1 <= len(state.values) <= MAX_VALUES for state in made.states)
    assert made.permutations <= 65_536
    assert len(set(names(made))) == len(made.states)
    for state in made.states:
        kinds = {type(value) for value, _ in state.values}
        assert len(kinds) == 1
    for _, java in made.combinations():
        assert set(java) == set(properties)


def test_values_that_molang_cannot_quote_are_not_made_states() -> None:
    made = plan(mode=("a'b", "c"))
    assert made.states == ()
    assert "cannot name" in made.notes[0]
