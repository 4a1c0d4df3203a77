"""How a block looks in one state: geometry, materials and boxes as Bedrock components. Called by `blocks.py`.

A `LookMaker` keeps what it read and made: a model is read once, a geometry shared by all blocks of its shape.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from converter.bedrock.geometry import (
    CROSS,
    FULL_BLOCK,
    Part,
    bounds_of,
    box_component,
    geometry,
    instance_name,
    is_flat,
    transformation,
)
from converter.bedrock.names import bedrock_name, texture_key, unused
from converter.errors import BadFile
from converter.java.blockstates import Appearance
from converter.java.models import BlockModel, Face, UntranslatableError, load_model
from converter.java.templates import DIRECTIONS
from converter.model import VANILLA, Mod, split_id
from converter.translate.base import AddonFile, Context
from converter.translate.paths import addon_path
from converter.translate.png import decode

RenderMethod = Literal["opaque", "alpha_test", "blend"]
_STRENGTH: dict[RenderMethod, int] = {"opaque": 0, "alpha_test": 1, "blend": 2}
_TINTED = "its tint (by biome or by code) is lost and the bare texture shown"


@dataclass(frozen=True, slots=True)
class Look:
    """Components of one state, what is lost, and the model files of the jar and geometry files it is made of."""

    components: Mapping[str, Any]
    notes: tuple[str, ...]
    models: tuple[str, ...]
    geometries: tuple[str, ...]


@dataclass
class LookMaker:
    """Makes looks. `files` and `terrain_textures` collect what has to go into the add-on."""

    mod: Mod
    context: Context
    files: list[AddonFile] = field(default_factory=list)
    terrain_textures: dict[str, str] = field(default_factory=dict)
    _models: dict[str, BlockModel] = field(default_factory=dict)
    _geometries: dict[str, tuple[str, str]] = field(default_factory=dict)
    """JSON of the bones -> (identifier, file in the add-on)."""
    _names: set[str] = field(default_factory=set)
    _looks: dict[tuple[Appearance, ...], Look] = field(default_factory=dict)
    _methods: dict[str, RenderMethod] = field(default_factory=dict)
    _keys: dict[str, str] = field(init=False)
    """Path of a texture in the resource pack -> its key in terrain_texture.json."""

    def __post_init__(self) -> None:
        made = self.context.produced.terrain_textures
        self._keys = {place: key for key, place in made.items() if isinstance(place, str)}

    def look(self, appearances: tuple[Appearance, ...]) -> Look:
        """The look of one or several models together. Raises UntranslatableError or BadFile."""
        if not appearances:
            raise UntranslatableError("nothing is shown without connections or in its usual state")
        if appearances not in self._looks:
            self._looks[appearances] = self._make(appearances)
        return self._looks[appearances]

    def _make(self, appearances: tuple[Appearance, ...]) -> Look:
        models = [self._model(each.model) for each in appearances]
        alone = len(appearances) == 1
        parts = [
            Part(model.elements, 0 if alone else each.x, 0 if alone else each.y)
            for model, each in zip(models, appearances, strict=True)
        ]
        notes = dict.fromkeys(note for model in models for note in model.notes)
        made: tuple[str, ...] = ()
        if alone and models[0].is_full_cube:
            identifier = FULL_BLOCK
            materials, method = self._materials(self._cube_slots(models[0]), models, notes)
        elif alone and models[0].is_cross:
            identifier = CROSS
            materials, method = self._materials({"*": "cross"}, models, notes)
        else:
            materials, method = self._materials(_named_slots(models), models, notes)
            identifier, file = self._geometry(models, parts)
            made = (file,)
        components: dict[str, Any] = {"minecraft:geometry": identifier, "minecraft:material_instances": materials}
        components |= self._boxes(parts, method, full=identifier == FULL_BLOCK)
        turn = transformation(appearances[0].x, appearances[0].y) if alone else [0, 0, 0]
        components["minecraft:transformation"] = {"rotation": turn}
        if components["minecraft:collision_box"] and _has_gaps(parts):
            notes["it collides as one box around its model"] = None
        if any(each.uvlock and (each.x or each.y) for each in appearances):
            notes["its textures turn together with it (uvlock)"] = None
        if any(face.tinted for model in models for face in _faces(model)):
            notes[_TINTED] = None
        files = dict.fromkeys(file for model in models for file in model.files)
        return Look(components, tuple(notes), tuple(files), made)

    def _model(self, model_id: str) -> BlockModel:
        if model_id not in self._models:
            self._models[model_id] = load_model(self.mod, model_id)
        return self._models[model_id]

    def _cube_slots(self, model: BlockModel) -> dict[str, str]:
        """Slots by face; the texture of most faces stands under "*" alone."""
        slots = {name: face.slot for name, face in model.elements[0].faces}
        textures = {name: model.textures.get(slot, "") for name, slot in slots.items()}
        most = Counter(textures[name] for name in DIRECTIONS if textures[name]).most_common(1)
        main = next((name for name in DIRECTIONS if most and textures[name] == most[0][0]), "north")
        return {"*": slots[main]} | {name: slots[name] for name in DIRECTIONS if textures[name] != textures[main]}

    def _materials(
        self, named: Mapping[str, str], models: list[BlockModel], notes: dict[str, None]
    ) -> tuple[dict[str, Any], RenderMethod]:
        """material_instances from instance name -> slot. An absent texture is replaced by another of the block."""
        wanted = {name: _texture(slot, models) for name, slot in named.items()}
        usable = {name: texture for name, texture in wanted.items() if texture in self.context.produced.textures}
        if not usable:
            raise UntranslatableError(self._missing_reason(next(iter(wanted.values()))))
        spare = usable.get("*", next(iter(usable.values())))
        for name, texture in wanted.items():
            if name not in usable and name != "*":
                notes[f"its texture {texture or named[name]} is not in the jar, {spare} is shown instead"] = None
        chosen = {name: usable.get(name, spare) for name in wanted}
        method = max((self._method(texture) for texture in chosen.values()), key=_STRENGTH.__getitem__)
        instances = {
            name: {"texture": self._terrain_key(texture), "render_method": method} for name, texture in chosen.items()
        }
        return instances, method

    def _missing_reason(self, texture: str) -> str:
        if not texture:
            return "its model names no texture"
        namespace, path = split_id(texture)
        if namespace == VANILLA:
            return f"its texture {path} is vanilla's and not in the jar"
        if self.mod.asset_of(texture, "textures", ".png") is None:
            return f"its texture {texture} is not in the jar"
        return f"its texture {texture} cannot be used"

    def _terrain_key(self, texture: str) -> str:
        """The texture's key in terrain_texture.json. A texture of an item that a block shows gets one of its own."""
        produced = self.context.produced
        place = produced.textures[texture]
        if place not in self._keys:
            self._keys[place] = unused(texture_key(texture), produced.terrain_textures, self.terrain_textures)
            self.terrain_textures[self._keys[place]] = place
        return self._keys[place]

    def _method(self, texture: str) -> RenderMethod:
        """How to draw the texture, by its real alpha: none, all or nothing, or shades."""
        if texture not in self._methods:
            name = self.mod.asset_of(texture, "textures", ".png")
            if name is None:
                raise BadFile(f"the texture {texture} is not in the jar")
            alpha = decode(self.mod.files.read(name), self.context.options.limits).getchannel("A")
            used = {value for value, count in enumerate(alpha.histogram()) if count}
            self._methods[texture] = "blend" if used - {0, 255} else "alpha_test" if 0 in used else "opaque"
        return self._methods[texture]

    def _geometry(self, models: list[BlockModel], parts: list[Part]) -> tuple[str, str]:
        """(identifier, file in the add-on) of the parts' geometry; one of the same bones is used again."""
        content = geometry("", parts)
        bones = json.dumps(content["minecraft:geometry"][0]["bones"], sort_keys=True)
        if bones not in self._geometries:
            namespace, path = split_id(models[0].owner)
            folder = bedrock_name(self.mod.info.id if namespace == VANILLA else namespace)
            plain = bedrock_name(path.removeprefix("block/").replace("/", ".")) + (".parts" if len(parts) > 1 else "")
            name, number = plain, 2
            while f"{folder}/{name}" in self._names:
                name, number = f"{plain}_{number}", number + 1
            self._names.add(f"{folder}/{name}")
            identifier, file = f"geometry.{folder}.{name}", addon_path(f"RP/models/blocks/{folder}", name, ".geo.json")
            content["minecraft:geometry"][0]["description"]["identifier"] = identifier
            self.files.append(AddonFile(file, content))
            self._geometries[bones] = identifier, file
        return self._geometries[bones]

    def _boxes(self, parts: list[Part], method: RenderMethod, *, full: bool) -> dict[str, Any]:
        if full:
            opaque = method == "opaque"
            return {
                "minecraft:collision_box": True,
                "minecraft:selection_box": True,
                "minecraft:light_dampening": 15 if opaque else 0,
            }
        bounds = bounds_of(parts)
        box, aim = box_component(bounds), box_component(bounds, thinnest=1)
        if box is None or aim is None:
            raise UntranslatableError("the model lies outside of its block, which Bedrock does not allow")
        solid = not is_flat(parts) and min(box["size"]) > 0
        return {
            "minecraft:collision_box": box if solid else False,
            "minecraft:selection_box": aim,
            "minecraft:light_dampening": 0,
        }


def _has_gaps(parts: list[Part]) -> bool:
    """Whether the model is more than one box: Bedrock collides with one."""
    return sum(len(part.elements) for part in parts) > 1


def _faces(model: BlockModel) -> Iterator[Face]:
    return (face for element in model.elements for _, face in element.faces)


def _texture(slot: str, models: list[BlockModel]) -> str:
    return next((model.textures[slot] for model in models if slot in model.textures), "")


def _named_slots(models: list[BlockModel]) -> dict[str, str]:
    """Slot of each material instance of a geometry; "*" is the texture of the block's particles."""
    slots = dict.fromkeys(face.slot for model in models for face in _faces(model))
    main = "particle" if any("particle" in model.textures for model in models) else next(iter(slots), "particle")
    return {"*": main} | {instance_name(slot): slot for slot in slots}
