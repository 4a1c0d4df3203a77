"""The inside of a Java loot table in Bedrock's terms: pools, entries, functions, conditions. Called by `loot.py`.

Conditions that can be decided beforehand are: Bedrock itself drops the block to silk touch, so such branches go; states
that a Bedrock block never leaves are known. What is left is a chance. Everything lost is noted once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from converter.errors import BadFile
from converter.model import VANILLA

BedrockItem = Callable[[str], str | None]

_MAX_DEPTH = 16
_USUAL_STATES = frozenset({"lower", "bottom", "false", "none"})
"""Values that a property has in the one state that `bedrock.states` keeps."""
_WEIGHTS = 1000
_FORTUNE = "fortune does not raise the drops"
_EXPLOSIONS = "explosions destroy none of the drops"
_LOST_FUNCTIONS = {"apply_bonus": _FORTUNE, "explosion_decay": _EXPLOSIONS}


@dataclass(frozen=True, slots=True)
class Drop:
    """One possible drop: a Bedrock entry without weight, how likely it is once chosen, and its weight."""

    entry: dict[str, Any]
    chance: float = 1.0
    weight: int = 1


@dataclass
class DropReader:
    """Reads one table. `bedrock_item` names the items that exist; `notes` collects what is lost."""

    block: str
    bedrock_item: BedrockItem
    notes: dict[str, None] = field(default_factory=dict)

    def pools(self, table: dict[str, Any]) -> list[dict[str, Any]]:
        """Bedrock's pools; an empty list drops nothing."""
        outer = self._functions(table.get("functions"))
        made = [self._pool(pool, outer) for pool in _objects(table.get("pools"), "pools")]
        return [pool for pool in made if pool is not None]

    def _pool(self, pool: dict[str, Any], outer: list[dict[str, Any]]) -> dict[str, Any] | None:
        chance = self._chance(pool.get("conditions"))
        if chance == 0:
            return None
        functions = outer + self._functions(pool.get("functions"))
        if _number(pool.get("bonus_rolls", 0), default=0) != 0:
            self._note("luck gives no extra rolls")
        entries = _objects(pool.get("entries"), "entries")
        drops = [drop for entry in entries for drop in self._entry(entry, functions, 0)]
        if not drops:
            return None
        made: dict[str, Any] = {"rolls": self._count(pool.get("rolls", 1)), "entries": self._weighted(drops)}
        if chance < 1:
            made["conditions"] = [{"condition": "random_chance", "chance": chance}]
        return made

    def _weighted(self, drops: list[Drop]) -> list[dict[str, Any]]:
        """Entries with weights. A chance of a single drop becomes weights against nothing."""
        if len(drops) == 1 and drops[0].chance < 1:
            likely = min(max(1, round(drops[0].chance * _WEIGHTS)), _WEIGHTS - 1)
            return [drops[0].entry | {"weight": likely}, {"type": "empty", "weight": _WEIGHTS - likely}]
        if any(drop.chance < 1 for drop in drops):
            self._note("the chances of single drops beside others are lost")
        return [drop.entry | {"weight": drop.weight} for drop in drops]

    def _entry(self, raw: dict[str, Any], functions: list[dict[str, Any]], depth: int) -> list[Drop]:
        if depth > _MAX_DEPTH:
            raise BadFile("its entries are nested too deeply")
        chance = self._chance(raw.get("conditions"), drops=_plain(raw.get("name", "")))
        if chance == 0:
            return []
        kind = _plain(raw.get("type", ""))
        functions = functions + self._functions(raw.get("functions"))
        if kind == "alternatives":
            return self._alternatives(raw, functions, depth, chance)
        if kind in ("group", "sequence"):
            children = _objects(raw.get("children"), "children")
            if len(children) > 1:
                self._note("of drops that come together only one comes")
            return [drop for child in children for drop in self._entry(child, functions, depth + 1)]
        if kind == "empty":
            return [Drop({"type": "empty"}, chance, _weight(raw))]
        if kind != "item":
            self._note(f"drops of the type {kind[:40] or 'none'} are left out")
            return []
        name = str(raw.get("name", ""))
        item = self.bedrock_item(name)
        if item is None:
            self._note(f"the drop {name[:80]} is left out: the add-on has no such item")
            return []
        entry: dict[str, Any] = {"type": "item", "name": item}
        if functions:
            entry["functions"] = functions
        return [Drop(entry, chance, _weight(raw))]

    def _alternatives(
        self, raw: dict[str, Any], functions: list[dict[str, Any]], depth: int, chance: float
    ) -> list[Drop]:
        """The first child that can apply; a child with a chance is kept with the one that follows it as weights."""
        likely: list[Drop] = []
        left = chance
        for child in _objects(raw.get("children"), "children"):
            for drop in self._entry(child, functions, depth + 1):
                share = left * drop.chance
                likely.append(Drop(drop.entry, share, max(1, round(share * _WEIGHTS))))
                left -= share
            if left <= 1e-9:
                break
        if len(likely) == 1:
            return [Drop(likely[0].entry, likely[0].chance, _weight(raw))]
        rest = round(left * _WEIGHTS)
        drops = [Drop(drop.entry, 1.0, drop.weight) for drop in likely]
        return [*drops, Drop({"type": "empty"}, 1.0, rest)] if drops and rest else drops

    def _chance(self, raw: Any, *, drops: str = "") -> float:
        """How likely all conditions hold, from 0 (never) to 1 (always)."""
        chance = 1.0
        for condition in _objects(raw, "conditions") if raw is not None else ():
            chance *= self._condition(condition, drops, 0)
        return chance

    def _condition(self, raw: dict[str, Any], drops: str, depth: int) -> float:
        if depth > _MAX_DEPTH:
            raise BadFile("its conditions are nested too deeply")
        kind = _plain(raw.get("condition", raw.get("type", "")))
        if kind == "survives_explosion":
            self._note(_EXPLOSIONS)
            return 1.0
        if kind == "match_tool":
            return self._tool(raw, drops)
        if kind == "inverted":
            term = raw.get("term")
            return 1 - self._condition(term, "", depth + 1) if isinstance(term, dict) else 1.0
        if kind in ("any_of", "alternative", "all_of"):
            chances = [self._condition(each, drops, depth + 1) for each in _objects(raw.get("terms"), "terms")]
            if kind == "all_of":
                return min(chances, default=1.0)
            return max(chances, default=0.0)
        if kind == "block_state_property":
            return self._in_state(raw)
        if kind == "random_chance":
            return min(max(_number(raw.get("chance"), default=1.0), 0.0), 1.0)
        if kind == "table_bonus":
            self._note(_FORTUNE)
            by_level = raw.get("chances")
            usual = by_level[0] if isinstance(by_level, list) and by_level else 1.0
            return min(max(_number(usual, default=1.0), 0.0), 1.0)
        self._note(f"drops under the condition {kind[:40] or 'none'} are left out")
        return 0.0

    def _tool(self, raw: dict[str, Any], drops: str) -> float:
        """Silk touch never reaches a Bedrock loot table: the game drops the block itself."""
        if "silk_touch" not in str(raw.get("predicate")):
            self._note("what it drops to certain tools is left out")
        elif drops and drops != _plain(self.block):
            self._note("silk touch drops the block itself")
        return 0.0

    def _in_state(self, raw: dict[str, Any]) -> float:
        properties = raw.get("properties")
        wanted = properties if isinstance(properties, dict) else {}
        unusual = sorted(name for name, value in wanted.items() if str(value).lower() not in _USUAL_STATES)
        if unusual:
            shown = ", ".join(f"{name}={wanted[name]}"[:40] for name in unusual)
            self._note(f"what it drops in certain states ({shown}) is left out")
        return 0.0 if unusual else 1.0

    def _functions(self, raw: Any) -> list[dict[str, Any]]:
        made = []
        for function in _objects(raw, "functions") if raw is not None else ():
            if self._chance(function.get("conditions")) < 1:
                continue
            kind = _plain(function.get("function", ""))
            if kind == "set_count":
                if function.get("add") is True:
                    self._note("counts that add up are set instead")
                made.append({"function": "set_count", "count": self._count(function.get("count", 1))})
            else:
                self._note(
                    _LOST_FUNCTIONS.get(kind) or f"the function {kind[:40] or 'none'} is not applied to the drops"
                )
        return made

    def _count(self, raw: Any) -> int | dict[str, int]:
        """A number provider as an integer or a range."""
        if isinstance(raw, dict):
            if _plain(raw.get("type", "")) == "binomial":
                self._note("numbers of drops are spread evenly")
                low, high = 0.0, _number(raw.get("n"), default=1)
            elif "value" in raw:
                low = high = _number(raw["value"], default=1)
            else:
                low, high = _number(raw.get("min"), default=1), _number(raw.get("max"), default=1)
        else:
            low = high = _number(raw, default=1)
        least, most = max(0, round(low)), max(0, round(high))
        return least if least == most else {"min": min(least, most), "max": max(least, most)}

    def _note(self, text: str) -> None:
        self.notes[text] = None


def _objects(raw: Any, what: str) -> list[dict[str, Any]]:
    if raw is None:
        return []
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        raise BadFile(f"its {what} are not a list of JSON objects")
    return raw


def _plain(name: Any) -> str:
    return str(name).removeprefix(f"{VANILLA}:")


def _weight(raw: dict[str, Any]) -> int:
    return max(1, round(_number(raw.get("weight", 1), default=1)))


def _number(raw: Any, *, default: float) -> float:
    """A plain number; of a provider its smaller bound, since Java allows one nearly everywhere."""
    if isinstance(raw, dict):
        raw = raw.get("value", raw.get("min"))
    usable = isinstance(raw, int | float) and not isinstance(raw, bool) and abs(raw) < 1_000_000
    return float(raw) if usable else default
