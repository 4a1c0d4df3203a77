"""Metadata of the three loaders: what is read, what is tolerated, what stands in for placeholders."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from converter import BadJar, Limits
from converter.jar import open_jar
from converter.metadata import FORGE, read_metadata
from converter.model import ModInfo
from converter.translate.manifest import metadata_row
from tests.fixtures.bad_jars import RawEntry, raw_zip
from tests.fixtures.sample_mod import sample_files


def info_of(files: dict[str, bytes]) -> ModInfo:
    jar = raw_zip([RawEntry(name.encode(), content) for name, content in files.items()])
    with open_jar(io.BytesIO(jar), Limits()) as opened:
        return read_metadata(opened)


def fabric(**fields: object) -> dict[str, bytes]:
    return {"fabric.mod.json": json.dumps({"schemaVersion": 1, "id": "x", "version": "1.0.0"} | fields).encode()}


def toml(text: str, name: str = "META-INF/mods.toml") -> dict[str, bytes]:
    return {name: text.encode()}


@pytest.mark.parametrize("loader", ["fabric", "forge", "neoforge"])
def test_the_three_loaders_say_the_same_of_one_mod(loader: str) -> None:
    info = info_of(sample_files(loader))
    assert (info.id, info.name, info.version, info.loader) == ("gemcraft", "Gemcraft", "1.2.3", loader)
    assert info.description == "Rubies, and what can be made of them."
    assert info.license == "MIT"
    assert info.icon_path == "assets/gemcraft/icon.png"
    assert info.authors in (("A. Miner", "B. Smith"), ("A. Miner, B. Smith",))


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"id": "x", "version": "1.0.0"}',
        b'{"id": "x", // the id\n "version": "1.0.0" /* the version */}',
        b'{"id": "x", "version": "1.0.0",}',
        b'{"id": "x", "version": "1.0.0", "authors": 7, "license": {"a": 1}, "icon": [], "contact": "me", "name": 1}',
    ],
    ids=["byte-order mark", "comments", "trailing comma", "wrong types of what only decorates"],
)
def test_what_the_loader_tolerates_is_read(content: bytes) -> None:
    info = info_of({"fabric.mod.json": content})
    assert (info.id, info.version, info.authors, info.icon_path) == ("x", "1.0.0", (), None)


def test_a_placeholder_version_comes_from_the_manifest() -> None:
    manifest = b"Manifest-Version: 1.0\r\nImplementation-Version: 4.\r\n 5.6\r\n\r\nName: other\r\n"
    assert info_of(fabric(version="${version}") | {"META-INF/MANIFEST.MF": manifest}).version == "4.5.6"
    assert info_of(fabric(version="${version}")).version == "0.0.0"


def test_an_unexpanded_forge_template_takes_its_id_from_the_assets() -> None:
    text = (
        'license="${mod_license}"\nloaderVersion=${loader_range}\n[[mods]]\nmodId="${mod_id}"\nversion="${mod_version}"\n'
        "displayName=\"${mod_name}\"\n[[dependencies.${mod_id}]]\nmandatory=true\ndescription='''${mod_description}'''\n"
    )
    assets = {"assets/coppermod/lang/en_us.json": b"{}", "assets/minecraft/lang/en_us.json": b"{}"}
    info = info_of(toml(text) | assets)
    assert (info.id, info.name, info.version, info.license) == ("coppermod", "Coppermod", "0.0.0", "")


def test_a_placeholder_id_without_assets_is_refused() -> None:
    with pytest.raises(BadJar, match="build the mod first"):
        info_of(toml('[[mods]]\nmodId="${mod_id}"\n'))


def test_fabric_is_read_first_where_a_jar_carries_several() -> None:
    assert info_of(fabric() | toml('[[mods]]\nmodId="y"\nversion="2"\n')).loader == "fabric"


def test_the_largest_icon_is_taken_and_only_a_picture_of_the_jar() -> None:
    files = fabric(icon={"16": "small.png", "128": "large.png"}) | {"small.png": b"", "large.png": b""}
    assert info_of(files).icon_path == "large.png"
    assert info_of(fabric(icon="absent.png")).icon_path is None
    assert info_of(fabric(icon="fabric.mod.json")).icon_path is None


def test_texts_are_cleaned_and_bounded() -> None:
    info = info_of(fabric(name="\u00a7cRed\n\x07 Mod", description="x" * 5000))
    assert info.name == "Red Mod"
    assert len(info.description) == 1000


def test_only_web_addresses_are_kept() -> None:
    contact = {"homepage": "javascript:alert(1)", "sources": "https://example.invalid/x", "email": "a@b"}
    assert info_of(fabric(contact=contact)).urls == {"sources": "https://example.invalid/x"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mcmod.info", "1.12"), ("quilt.mod.json", "Quilt"), ("plugin.yml", "plugin"), ("META-INF/jars/a.jar", "wraps")],
)
def test_a_jar_that_is_no_mod_is_told_what_it_is(name: str, hint: str) -> None:
    with pytest.raises(BadJar, match=hint) as refused:
        info_of({name: b""})
    assert refused.value.code == "no_mod_metadata"


def test_other_mods_are_named_and_the_platform_is_not() -> None:
    depends = {"minecraft": "*", "fabric-api": "*", "fabric-biome-api-v1": "*", "java": ">=21", "cloth-config": "*"}
    assert info_of(fabric(depends=depends)).required == ("cloth-config",)
    assert info_of(fabric(depends=["cloth-config"])).required == ()
    info = info_of(
        toml(
            '[[mods]]\nmodId="x"\n[[mods]]\nmodId="y"\n'
            '[[dependencies.x]]\nmodId="forge"\nmandatory=true\n[[dependencies.x]]\nmodId="curios"\nmandatory=true\n'
            '[[dependencies.x]]\nmodId="jei"\nmandatory=false\n[[dependencies.x]]\nmodId="rei"\ntype="optional"\n'
            '[[dependencies.y]]\nmodId="x"\n[[dependencies.y]]\nmodId="patchouli"\ntype="REQUIRED"\n'
        )
    )
    assert (info.required, info.further) == (("curios", "patchouli"), ("y",))


def test_what_the_manifests_cannot_say_is_told_of_the_metadata_file() -> None:
    info = ModInfo("x", "X", "1", "forge", metadata_path=FORGE, required=("curios",), further=("y",))
    row = metadata_row(info, ("BP/manifest.json",))
    assert row.outcome == "approximated"
    assert "needs the other mods curios" in row.reason
    assert "further mods: y" in row.reason
    assert metadata_row(replace(info, required=(), further=()), row.outputs).outcome == "converted"
