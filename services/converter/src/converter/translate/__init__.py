"""The table of translators: a new kind of content is one new file, its test, and its row here.

The order is the order of dependency: textures before what shows them, blocks and items before what names them.
"""

from __future__ import annotations

from converter.translate.base import Translator
from converter.translate.blocks import translate_blocks
from converter.translate.items import translate_items
from converter.translate.lang import translate_languages
from converter.translate.loot import translate_loot
from converter.translate.manifest import translate_manifest
from converter.translate.recipes import translate_recipes
from converter.translate.textures import translate_textures

TRANSLATORS: tuple[tuple[str, Translator], ...] = (
    ("manifest", translate_manifest),
    ("textures", translate_textures),
    ("blocks", translate_blocks),
    ("items", translate_items),
    ("languages", translate_languages),
    ("loot tables", translate_loot),
    ("recipes", translate_recipes),
)
