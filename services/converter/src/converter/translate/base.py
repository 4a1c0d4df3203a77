"""What a translator is: a pure function from the mod, and from what earlier translators made, to a `Translation`.

A translator emits the ledger row of every source it claims: `Row(source=path, ...)` for a file,
`Row(source="ns:id", kind="block" or "item", ...)` for a registry id. A source claimed twice is a bug on which the
pipeline raises; a source that nobody claims gets its row from `leftovers.py`. A broken file is an `error` row, never an
exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from converter.errors import LedgerBroken
from converter.ledger import Row
from converter.model import VANILLA, Mod, split_id
from converter.options import Options

if TYPE_CHECKING:
    from converter.vanilla import VanillaTables

JsonValue = dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class FromJar:
    """The bytes of a file of the jar, copied when the add-on is written: a large mod's textures never sit in memory."""

    name: str


@dataclass(frozen=True, slots=True)
class AddonFile:
    """One file of the add-on. `path` starts with "BP/" or "RP/"; JSON is given as dict or list and serialised later."""

    path: str
    content: bytes | JsonValue | FromJar


@dataclass
class Translation:
    """What one translator made; and, merged, what all of them made so far (`Context.produced`)."""

    files: list[AddonFile] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    item_textures: dict[str, str] = field(default_factory=dict)
    """Key of item_texture.json -> path in the resource pack without suffix ("textures/ns/items/x")."""
    terrain_textures: dict[str, str | dict[str, Any]] = field(default_factory=dict)
    """Key of terrain_texture.json -> path, or the whole "textures" object."""
    textures: dict[str, str] = field(default_factory=dict)
    """Java texture "ns:item/x" or "ns:block/x" -> path in the resource pack without suffix. Only those that decoded."""
    flipbooks: list[dict[str, Any]] = field(default_factory=list)
    """Entries of flipbook_textures.json."""
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Bedrock locale "en_US" -> key -> text."""
    blocks: dict[str, str] = field(default_factory=dict)
    """Java block id -> path of its file in the behaviour pack. A block that failed is not in it."""
    items: dict[str, str] = field(default_factory=dict)
    """Java item id -> path of its file in the behaviour pack."""
    block_sounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Bedrock block id -> its entry in the resource pack's blocks.json."""

    def merge(self, other: Translation, *, by: str) -> None:
        """Add what `other` made. Two makers of one path or key are a bug: LedgerBroken."""
        taken = {file.path for file in self.files}
        for file in other.files:
            if file.path in taken:
                raise LedgerBroken(f"{by}: {file.path} is made a second time")
            taken.add(file.path)
        self.files += other.files
        self.rows += other.rows
        self.flipbooks += other.flipbooks
        for name in ("item_textures", "terrain_textures", "textures", "blocks", "items", "block_sounds"):
            _merge_keys(getattr(self, name), getattr(other, name), f"{by}: {name}")
        for locale, texts in other.texts.items():
            _merge_keys(self.texts.setdefault(locale, {}), texts, f"{by}: texts of {locale}")


def _merge_keys(into: dict[str, Any], new: dict[str, Any], what: str) -> None:
    for key, value in new.items():
        if into.setdefault(key, value) != value:
            raise LedgerBroken(f"{what}: {key} is given a second, different value")


@dataclass(frozen=True)
class Context:
    """What a translator may know besides the mod. `produced` holds everything that the translators before it made."""

    options: Options
    vanilla: VanillaTables
    produced: Translation
    bedrock_ids: dict[str, str]
    """Java registry id -> Bedrock identifier of the mod's own blocks and items (see `assign_bedrock_ids`)."""

    def bedrock_id(self, java_id: str) -> str | None:
        """Bedrock identifier of a block or item of the mod, None for an id that the mod does not have."""
        return self.bedrock_ids.get(java_id)


Translator = Callable[[Mod, Context], Translation]


def is_own(mod: Mod, java_id: str) -> bool:
    """Whether the id lies in a namespace of the mod (and not in vanilla's)."""
    namespace, _ = split_id(java_id)
    return namespace != VANILLA and namespace in mod.namespaces
