"""Who is this mod? Reads fabric.mod.json, META-INF/neoforge.mods.toml or META-INF/mods.toml, with MANIFEST.MF for what
a build left as a `${placeholder}`. Called by `inspection` and the pipeline.

Raises BadJar `no_mod_metadata` or `bad_metadata`.

What the loaders themselves refuse (no id, a version that is no string) is refused; what only decorates (a wrong type of
author, a broken icon path) is left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

from converter.errors import BadFile, BadJar
from converter.jar import JarFiles
from converter.model import VANILLA, Loader, ModInfo

FABRIC = "fabric.mod.json"
NEOFORGE = "META-INF/neoforge.mods.toml"
FORGE = "META-INF/mods.toml"
MANIFEST = "META-INF/MANIFEST.MF"
_METADATA_BYTES = 256 * 1024
_UNKNOWN_VERSION = "0.0.0"

_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PLACEHOLDER = re.compile(r"\$\{[^}\n]{0,80}\}|@[A-Za-z_]{1,80}@")
_BARE_VALUE = re.compile(r"(=[ \t]{0,80})(\$\{[^}\n]{0,80}\})")
# A TOML string or comment, kept as it is, or a placeholder outside of them. An open end is matched too, and strings
# possessively: a scan of hostile text stays linear.
_BARE_KEY = re.compile(
    r"""('{3}.*?(?:'{3}|\Z)|\"{3}.*?(?:\"{3}|\Z)|'[^'\n]*+'?|"(?:[^"\\\n]|\\.)*+"?|\#[^\n]*)|\$\{[^}\n]{0,80}\}""",
    re.DOTALL,
)
_UNPRINTABLE = re.compile(r"§.|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_WEB_ADDRESS = re.compile(r"https?://[^\s\"'<>\\]{3,300}")
# Every mod needs the game, its loader and Java, and nearly every Fabric mod the API in its many modules.
_PLATFORM = re.compile(r"minecraft|java|forge|neoforge|fabricloader|fabric|fabric-api|fabric-.+-v\d+")
_NAMESPACE = re.compile(r"assets/([a-z0-9_.-]+)/.+")


def read_metadata(files: JarFiles) -> ModInfo:
    """The mod's description. Where a jar carries several loaders' files, Fabric's is read first: it needs no TOML."""
    for path, loader, reader in (
        (FABRIC, "fabric", _read_fabric),
        (NEOFORGE, "neoforge", _read_toml),
        (FORGE, "forge", _read_toml),
    ):
        if path in files:
            return _read(files, path, loader, reader)  # type: ignore[arg-type]  # the tuple's strings are Loaders
    raise BadJar("no_mod_metadata", _why_none(files))


def _read(files: JarFiles, path: str, loader: Loader, reader: Callable[[JarFiles, str], dict[str, Any]]) -> ModInfo:
    try:
        if files.size(path) > _METADATA_BYTES:
            raise BadFile("larger than 256 KB")
        raw = reader(files, path)
    except BadFile as error:
        raise BadJar("bad_metadata", f"{path} cannot be read: {error.reason}.") from None
    manifest = _read_manifest(files)
    mod_id = _mod_id(raw.get("id"), path, files)
    version = _version(raw.get("version"), path, manifest)
    name = _text(raw.get("name"), 100) or manifest.get("Implementation-Title", "") or _title(mod_id)
    icon = raw.get("icon")
    further = tuple(_texts(raw["further"]))
    required = {*_texts(raw["required"])} - {mod_id, *further}
    return ModInfo(
        id=mod_id,
        name=name,
        version=version,
        loader=loader,
        description=_text(raw.get("description"), 1000),
        authors=tuple(_texts(raw.get("authors"))),
        license=", ".join(_texts(raw.get("license"))),
        icon_path=icon if isinstance(icon, str) and icon.endswith(".png") and icon in files else None,
        urls=_urls(raw.get("urls")),
        metadata_path=path,
        required=tuple(each for each in sorted(required) if not _PLATFORM.fullmatch(each)),
        further=further,
    )


def _why_none(files: JarFiles) -> str:
    if "mcmod.info" in files:
        return "This mod is for Minecraft 1.12 or older (mcmod.info); only mods for 1.13 and later are converted."
    if "quilt.mod.json" in files:
        return "This mod is for Quilt only; upload its Fabric, Forge or NeoForge version."
    if "plugin.yml" in files:
        return "This is a server plugin (plugin.yml), not a mod."
    if any(name.startswith(("META-INF/jars/", "META-INF/jarjar/")) for name in files.names):
        return "The jar only wraps other jars; unpack it and upload the mod inside."
    return (
        "The jar has no fabric.mod.json, META-INF/mods.toml or META-INF/neoforge.mods.toml; upload a mod's .jar file."
    )


def _read_fabric(files: JarFiles, path: str) -> dict[str, Any]:
    raw = files.json(path)
    if not isinstance(raw, dict):
        raise BadFile("the top level is not an object")
    icon = raw.get("icon")
    if isinstance(icon, dict):  # size in pixels -> path
        sized = [(int(size), each) for size, each in icon.items() if size.isdigit() and len(size) < 6]
        icon = max(sized, key=lambda pair: pair[0])[1] if sized else None
    contact, depends = raw.get("contact"), raw.get("depends")
    return {
        "id": raw.get("id"),
        "version": raw.get("version"),
        "name": raw.get("name"),
        "description": raw.get("description"),
        "authors": raw.get("authors"),
        "license": raw.get("license"),
        "icon": icon.lstrip("/") if isinstance(icon, str) else None,
        "urls": contact if isinstance(contact, dict) else {},
        "required": list(depends) if isinstance(depends, dict) else [],
        "further": [],
    }


def _read_toml(files: JarFiles, path: str) -> dict[str, Any]:
    try:
        raw = tomllib.loads(_quote_placeholders(files.read(path).decode("utf-8-sig").replace("\r\n", "\n")))
    except UnicodeDecodeError:
        raise BadFile("not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"not valid TOML: {error}") from None
    except (RecursionError, ValueError):
        raise BadFile("not valid TOML: a value is too deep or too long") from None
    mods = raw.get("mods")
    if not isinstance(mods, list) or not mods or not isinstance(mods[0], dict):
        raise BadFile("it has no [[mods]] section")
    mod = mods[0]
    logo = mod.get("logoFile", raw.get("logoFile"))
    return {
        "id": mod.get("modId"),
        "version": mod.get("version"),
        "name": mod.get("displayName"),
        "description": mod.get("description"),
        "authors": mod.get("authors"),
        "license": raw.get("license"),
        "icon": logo.lstrip("/") if isinstance(logo, str) else None,
        "urls": {
            "homepage": mod.get("displayURL", raw.get("displayURL")),
            "issues": raw.get("issueTrackerURL", mod.get("issueTrackerURL")),
        },
        "required": _required(raw.get("dependencies")),
        "further": [each.get("modId") for each in mods[1:] if isinstance(each, dict)],
    }


def _required(raw: Any) -> list[Any]:
    """Ids in [[dependencies.<mod>]] that are needed: `mandatory` in Forge, `type` (usually "required") in NeoForge."""
    if not isinstance(raw, dict):
        return []
    return [
        each.get("modId")
        for entries in raw.values()
        for each in (entries if isinstance(entries, list) else [])
        if isinstance(each, dict)
        and each.get("mandatory", True) is True
        and str(each.get("type", "required")).lower() == "required"
    ]


def _quote_placeholders(text: str) -> str:
    """Make an unexpanded template TOML again: `[[x.${id}]]` and `key = ${value}` are not, `"${id}"` is and stays."""
    text = _BARE_VALUE.sub(r'\1"\2"', text)
    return _BARE_KEY.sub(lambda found: found[1] or "unexpanded", text)


def _read_manifest(files: JarFiles) -> dict[str, str]:
    """Main section of MANIFEST.MF, values with placeholders left out; empty when absent or unreadable."""
    if MANIFEST not in files or files.size(MANIFEST) > _METADATA_BYTES:
        return {}
    try:
        text = files.read(MANIFEST).decode("utf-8", "replace").replace("\r\n", "\n")
    except BadFile:
        return {}
    section = text.replace("\n ", "").split("\n\n")[0]  # a line is continued by one leading blank
    found = {}
    for line in section.split("\n"):
        key, separator, value = line.partition(":")
        cleaned = _text(value, 100)
        if separator and cleaned:
            found[key.strip()] = cleaned
    return found


def _mod_id(raw: Any, path: str, files: JarFiles) -> str:
    if isinstance(raw, str) and _PLACEHOLDER.search(raw):
        # An unexpanded template: the folder with the most assets is named after the mod.
        counts: dict[str, int] = {}
        for name in files.names:
            if (found := _NAMESPACE.fullmatch(name)) and found[1] != VANILLA:
                counts[found[1]] = counts.get(found[1], 0) + 1
        guessed = max(sorted(counts), key=lambda each: counts[each], default="")
        if not _ID.fullmatch(guessed):
            raise BadJar(
                "bad_metadata", f"{path}: the mod id is still the placeholder {raw[:40]}; build the mod first."
            )
        return guessed
    if not isinstance(raw, str) or not _ID.fullmatch(raw):
        what = "has no mod id" if raw is None else f"has an invalid mod id, {str(raw)[:40]!r}"
        raise BadJar("bad_metadata", f"{path} {what}: it must be lower-case letters, digits, - and _.")
    return raw


def _version(raw: Any, path: str, manifest: dict[str, str]) -> str:
    if raw is not None and not isinstance(raw, str):
        raise BadJar("bad_metadata", f'{path}: the version must be a text such as "1.0.0".')
    version = _text(raw, 60)
    return (
        version or manifest.get("Implementation-Version") or manifest.get("Specification-Version") or _UNKNOWN_VERSION
    )


def _text(raw: Any, longest: int) -> str:
    """A one-line text without control characters and colour codes; "" for another type or an unexpanded placeholder."""
    if not isinstance(raw, str) or _PLACEHOLDER.search(raw):
        return ""
    return " ".join(_UNPRINTABLE.sub(" ", raw).split())[:longest]


def _texts(raw: Any) -> Iterable[str]:
    """Names out of a text, a list of texts, or a list of objects with a name."""
    for each in (raw if isinstance(raw, list) else [raw])[:50]:
        text = _text(each.get("name") if isinstance(each, dict) else each, 100)
        if text:
            yield text


def _urls(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict):
        return {}
    return {
        key: value
        for key, value in raw.items()
        if key in ("homepage", "sources", "issues") and isinstance(value, str) and _WEB_ADDRESS.fullmatch(value)
    }


def _title(mod_id: str) -> str:
    return re.sub(r"[_-]+", " ", mod_id).strip().title()
