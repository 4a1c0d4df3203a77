"""The table of translators: a new kind of content is one new file, its test, and its row here.

The order is the order of dependency: textures before what shows them, blocks and items before what names them.
"""

from __future__ import annotations

from converter.translate.base import Translator

TRANSLATORS: tuple[tuple[str, Translator], ...] = ()
