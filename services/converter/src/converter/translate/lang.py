"""Languages: Java's JSON per namespace becomes one .lang file per locale that Bedrock loads.

Runs after blocks and items, because a name is entered under the Bedrock identifier of what it names. Texts that name
nothing converted (messages, tooltips) stay under their Java key, where a script can find them.
"""

from __future__ import annotations

import re
from typing import Any

from converter.errors import BadFile
from converter.ledger import Row
from converter.model import VANILLA, Mod, split_id
from converter.translate.base import Context, Translation

BASE_LOCALE = "en_US"
_SPOKEN = (
    *("bg_BG", "cs_CZ", "da_DK", "de_DE", "el_GR", "en_GB", BASE_LOCALE, "es_ES", "es_MX", "fi_FI"),
    *("fr_CA", "fr_FR", "hu_HU", "id_ID", "it_IT", "ja_JP", "ko_KR", "nb_NO", "nl_NL", "pl_PL"),
    *("pt_BR", "pt_PT", "ru_RU", "sk_SK", "sv_SE", "tr_TR", "uk_UA", "zh_CN", "zh_TW"),
)
# Java's lower-case name -> Bedrock's; Java called Norwegian no_no for long.
LOCALES = {locale.lower(): locale for locale in _SPOKEN} | {"no_no": "nb_NO"}
_NAME = re.compile(r"(item|block)\.([a-z0-9_-]+)\.([a-z0-9_/-]+)")
_PLACEHOLDER = re.compile(r"%(?:(\d{1,2})\$)?[-#+ 0,(]?\d{0,3}(?:\.\d{1,3})?([sdfxXc])")
_KEY = re.compile(r"[^\s=#][^\s=]*")
_LINE_BREAK = re.compile(r"\r\n|[\r\n\u0085\u2028\u2029]")


def translate_languages(mod: Mod, context: Context) -> Translation:
    """Texts by locale; rows of all assets/*/lang/*.json. What has no English name gets one made from its id."""
    made = Translation()
    for name, namespace, path in mod.under("lang"):
        if namespace == VANILLA or not path.lower().endswith(".json"):
            continue
        locale = LOCALES.get(path.lower().removesuffix(".json"))
        if locale is None:
            reason = "Bedrock has no such language; only its own 29 load."
            made.rows.append(Row(name, "lang", "unsupported", reason))
            continue
        try:
            texts = mod.files.json(name)
            if not isinstance(texts, dict):
                raise BadFile("the top level is not an object")
        except BadFile as error:
            made.rows.append(Row(name, "lang", "error", f"The language file cannot be used: {error.reason}."))
            continue
        made.rows.append(_translate_file(name, locale, texts, context, made))
    _name_the_nameless(context, made)
    return made


def _translate_file(name: str, locale: str, texts: dict[str, Any], context: Context, made: Translation) -> Row:
    into = made.texts.setdefault(locale, {})
    shown = kept = dropped = lost = 0
    for key, text in texts.items():
        if not isinstance(text, str) or not _KEY.fullmatch(key):
            dropped += 1
            continue
        bedrock_key = display_key(key, context)
        translated = bedrock_text(text)
        if into.setdefault(bedrock_key or key, translated) != translated:
            lost += 1
            continue
        shown += bedrock_key is not None
        kept += bedrock_key is None
    output = f"RP/texts/{locale}.lang"
    if not texts:
        return Row(name, "lang", "ignored", "It holds no texts.")
    reasons = []
    if kept:
        reasons.append(
            f"{kept} name no converted block or item (messages, tooltips and the like) and are shown nowhere"
        )
    if lost:
        reasons.append(f"{lost} were left out because another text has the same Bedrock key")
    if dropped:
        reasons.append(f"{dropped} are no plain texts and were left out")
    if not reasons:
        return Row(name, "lang", "converted", outputs=(output,))
    reason = f"Of {len(texts)} texts, {'; '.join(reasons)}."
    if not shown and not kept:
        return Row(name, "lang", "unsupported", reason)
    return Row(name, "lang", "approximated", reason, (output,))


def display_key(java_key: str, context: Context) -> str | None:
    """Bedrock's key for the name of a converted block or item: `item.ns.x` -> `item.ns:x`; None for any other text."""
    found = _NAME.fullmatch(java_key)
    if not found:
        return None
    java_id = f"{found[2]}:{found[3]}"
    # A block item's name may stand under item.*; it is shown with the block's key all the same.
    if java_id in context.produced.blocks:
        return f"tile.{context.bedrock_ids[java_id]}.name"
    return f"item.{context.bedrock_ids[java_id]}" if java_id in context.produced.items else None


def bedrock_text(text: str) -> str:
    """`text` with Bedrock's placeholders (%1$s -> %1, %d -> %s) on one line."""
    placed = _PLACEHOLDER.sub(lambda found: f"%{found[1]}" if found[1] else "%s", text.replace("%%", "\0"))
    one_line = _LINE_BREAK.sub(r"\\n", placed.replace("\t", " "))
    return "".join(c for c in one_line if c >= " " or c == "\0").replace("\0", "%%")


def _name_the_nameless(context: Context, made: Translation) -> None:
    english = made.texts.setdefault(BASE_LOCALE, {})
    for java_id in context.produced.items:
        english.setdefault(f"item.{context.bedrock_ids[java_id]}", title(java_id))
    for java_id in context.produced.blocks:
        english.setdefault(f"tile.{context.bedrock_ids[java_id]}.name", title(java_id))


def title(java_id: str) -> str:
    """A readable name made from an id: "ns:machines/iron_furnace" -> "Iron Furnace"."""
    return split_id(java_id)[1].rpartition("/")[2].replace("_", " ").replace("-", " ").title()


def lang_file(texts: dict[str, str]) -> bytes:
    """The .lang file of one locale, sorted by key. Tab-hash would start a comment, so tabs are gone by now."""
    return "".join(f"{key}={texts[key]}\n" for key in sorted(texts)).encode()
