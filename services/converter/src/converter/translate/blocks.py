"""Blocks: block states and models become BP/blocks/** with states, traits and permutations, and their geometries.

Rows of all blocks with a block state, of those block states and of the block models they show. Runs after textures.
What a block does (hardness, light, inventory, redstone) is Java code and stays with the rows of the classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from converter.bedrock.states import MAX_PERMUTATIONS, BedrockValue, StatePlan, condition, plan_states
from converter.errors import BadFile
from converter.java.blockstates import BlockState, read_blockstate
from converter.java.models import UntranslatableError
from converter.ledger import Outcome, Row
from converter.model import Mod, split_id
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.block_looks import Look, LookMaker
from converter.translate.loot import block_table
from converter.translate.notes import sentence
from converter.translate.paths import addon_path

FORMAT_VERSION = "1.21.100"

Looks = dict[tuple[BedrockValue, ...], Look]


@dataclass
class _Work:
    """What is known while the blocks are translated."""

    mod: Mod
    context: Context
    looks: LookMaker
    made: Translation = field(default_factory=Translation)
    model_rows: dict[str, Row] = field(default_factory=dict)
    permutations: int = 0


def translate_blocks(mod: Mod, context: Context) -> Translation:
    """BP/blocks/**, RP/models/blocks/**, terrain texture keys that textures did not make; rows as the module says."""
    work = _Work(mod, context, LookMaker(mod, context))
    for java_id in mod.blocks:
        file = mod.asset_of(java_id, "blockstates", ".json")
        if file is None:
            continue
        try:
            row = _translate_block(work, java_id, file)
        except UntranslatableError as error:
            row = Row(java_id, "block", "unsupported", sentence("The block is not converted", [error.reason]))
        except BadFile as error:
            row = Row(java_id, "block", "error", sentence("The block cannot be converted", [error.reason]))
        work.made.rows += [row, Row(file, "blockstate", row.outcome, row.reason, row.outputs)]
    work.made.files += work.looks.files
    work.made.terrain_textures |= work.looks.terrain_textures
    work.made.rows += work.model_rows.values()
    return work.made


def _translate_block(work: _Work, java_id: str, file: str) -> Row:
    state = read_blockstate(work.mod.files.json(file))
    namespace, _ = split_id(java_id)
    plan = plan_states(state.properties, namespace, MAX_PERMUTATIONS - work.permutations)
    notes = dict.fromkeys((*state.notes, *plan.notes))
    looks = _looks_by_state(work, state, plan, notes)
    work.permutations += plan.permutations
    path = _write(work, java_id, plan, looks)
    for look in looks.values():
        notes.update(dict.fromkeys(look.notes))
        _claim_models(work, look, path)
    outcome: Outcome = "approximated" if notes else "converted"
    return Row(java_id, "block", outcome, sentence("As a block", notes), (path,))


def _looks_by_state(work: _Work, state: BlockState, plan: StatePlan, notes: dict[str, None]) -> Looks:
    """A look for every combination of Bedrock values. The usual state must have one; others fall back to it."""
    looks: Looks = {}
    usual: Look | None = None
    for values, java_values in plan.combinations():
        try:
            look = work.looks.look(state.look(java_values))
        except (UntranslatableError, BadFile) as error:
            if usual is None:
                raise
            shown = ", ".join(f"{name}={java_values[name]}" for name in sorted(java_values))
            notes[f"some states look like the usual one ({shown}: {error.reason})"] = None
            look = usual
        usual = usual or look
        looks[values] = look
    return looks


def _write(work: _Work, java_id: str, plan: StatePlan, looks: Looks) -> str:
    identifier = work.context.bedrock_ids[java_id]
    usual = next(iter(looks.values()))
    components: dict[str, Any] = {"minecraft:display_name": f"tile.{identifier}.name"}
    components |= {name: value for name, value in usual.components.items() if not _is_no_turn(name, value)}
    if table := block_table(work.mod, work.context, java_id):
        components["minecraft:loot"] = table.removeprefix("BP/")
    category = "nature" if usual.components["minecraft:collision_box"] is False else "construction"
    block: dict[str, Any] = {
        "description": {
            "identifier": identifier,
            "menu_category": {"category": category},
            **plan.description(),
        },
        "components": components,
    }
    if permutations := _permutations(plan, looks):
        block["permutations"] = permutations
    namespace, _, name = identifier.partition(":")
    path = addon_path(f"BP/blocks/{namespace}", name, ".json")
    work.made.files.append(AddonFile(path, {"format_version": FORMAT_VERSION, "minecraft:block": block}))
    work.made.blocks[java_id] = path
    return path


def _is_no_turn(name: str, value: Any) -> bool:
    return name == "minecraft:transformation" and value == {"rotation": [0, 0, 0]}


def _permutations(plan: StatePlan, looks: Looks) -> list[dict[str, Any]]:
    """Per component, only the states it depends on: a turn by direction and a look by `lit` add up, not multiply."""
    usual = next(iter(looks.values()))
    by_condition: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for look in looks.values() for name in look.components):
        table = {values: look.components.get(name) for values, look in looks.items()}
        relevant = _relevant_states(plan, table)
        for choice in itertools.product(*(plan.states[index].values for index in relevant)):
            wanted = dict(zip(relevant, (value for value, _ in choice), strict=True))
            values = tuple(wanted.get(index, state.values[0][0]) for index, state in enumerate(plan.states))
            component = table[values]
            if component is None or component == usual.components.get(name):
                continue
            text = " && ".join(condition(plan.states[index], value) for index, value in wanted.items())
            by_condition.setdefault(text, {})[name] = component
    return [{"condition": text, "components": components} for text, components in by_condition.items()]


def _relevant_states(plan: StatePlan, table: Mapping[tuple[BedrockValue, ...], Any]) -> list[int]:
    """Indices of the states on which the component in `table` depends."""
    relevant = []
    for index in range(len(plan.states)):
        seen: dict[tuple[BedrockValue, ...], Any] = {}
        for values, component in table.items():
            others = values[:index] + values[index + 1 :]
            if seen.setdefault(others, component) != component:
                relevant.append(index)
                break
    return relevant


def _claim_models(work: _Work, look: Look, path: str) -> None:
    """Rows of the block models of a look. Item models have rows of their own, even where a block shows one."""
    for name in look.models:
        if name.split("/")[2:4] == ["models", "item"] or name.startswith("assets/minecraft/"):
            continue
        known = work.model_rows.get(name)
        outputs = dict.fromkeys((*(known.outputs if known else ()), *look.geometries, path))
        notes = sentence("In the block", look.notes) or (known.reason if known else "")
        outcome: Outcome = "approximated" if notes else "converted"
        work.model_rows[name] = Row(name, "model", outcome, notes, tuple(outputs))
