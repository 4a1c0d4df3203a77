"""What makes an image out of date, and in which order images are built."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import image_catalog, images, look
from scripts.image_catalog import BY_NAME, CATALOG, LOCAL_BASE, REGISTRY_BASE, Image


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder without git that the catalog takes for the repository."""
    monkeypatch.setattr(image_catalog, "ROOT", tmp_path)
    cached = (image_catalog.inputs_hash, image_catalog.parents, image_catalog._ignored)
    for function in cached:
        function.cache_clear()
    yield tmp_path
    for function in cached:
        function.cache_clear()


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def hash_now(image: Image, base: str = LOCAL_BASE) -> str:
    image_catalog.inputs_hash.cache_clear()
    return image_catalog.inputs_hash(image, base)


def test_sources_are_what_the_context_gives_and_nothing_of_other_stages(checkout: Path) -> None:
    write(
        checkout,
        "Dockerfile",
        "# COPY comment /x\n"
        "FROM a AS b\n"
        "COPY --chown=1:1 --chmod=755 one two/ \\\n    three /to/\n"
        'COPY ["with space", "/to/"]\n'
        "COPY --from=b /etc/passwd /etc/\n"
        "RUN --mount=type=bind,source=lock,target=/lock --mount=type=bind,from=b,source=/x,target=/y true\n",
    )
    assert image_catalog.sources("Dockerfile") == ["one", "two/", "three", "with space", "lock"]


def test_the_hash_follows_the_inputs_and_only_them(checkout: Path) -> None:
    image = Image("thing", "Dockerfile", 1)
    write(checkout, "Dockerfile", "FROM scratch\nCOPY src /src\n")
    write(checkout, ".dockerignore", "# kept out\n**/__pycache__\nsrc/*/tests\n")
    source = write(checkout, "src/deep/file.py", "1")
    write(checkout, "other.py", "1")
    before = hash_now(image)

    write(checkout, "other.py", "2")
    write(checkout, "src/__pycache__/file.pyc", "2")
    write(checkout, "src/one/tests/test_file.py", "2")
    assert hash_now(image) == before

    source.write_text("2")
    changed = hash_now(image)
    assert changed != before
    source.chmod(0o755)
    assert hash_now(image) != changed
    assert hash_now(image, REGISTRY_BASE) != hash_now(image)


def test_a_changed_parent_makes_its_children_out_of_date(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = Image("parent", "parent.Dockerfile", 1), Image("child", "child.Dockerfile", 1)
    monkeypatch.setattr(image_catalog, "BY_NAME", {"parent": parent, "child": child})
    write(checkout, "parent.Dockerfile", "FROM scratch\n")
    write(checkout, "child.Dockerfile", "FROM modporter/parent:local\n")
    before = hash_now(child)
    write(checkout, "parent.Dockerfile", "FROM scratch\nLABEL a=b\n")
    assert hash_now(child) != before


@pytest.mark.parametrize("image", [image for image in CATALOG if image.dockerfile], ids=lambda image: image.name)
def test_everything_a_dockerfile_copies_exists(image: Image) -> None:
    for pattern in image_catalog.sources(image.dockerfile):
        assert list(image_catalog.ROOT.glob(pattern.rstrip("/"))), f"{image.dockerfile} copies {pattern}"


def test_a_registry_s_base_replaces_the_one_that_is_bootstrapped() -> None:
    for image in CATALOG:
        assert BY_NAME["base"] not in image_catalog.parents(image, REGISTRY_BASE)
    assert BY_NAME["base"] in image_catalog.parents(BY_NAME["postgres"], LOCAL_BASE)


def test_an_image_comes_with_all_that_it_is_built_from() -> None:
    names = [image.name for image in image_catalog.select(["backend"], LOCAL_BASE)]
    assert names == ["base", "python", "python-build", "backend"]


def test_the_longest_chain_counts_every_build_on_it() -> None:
    longest = image_catalog.chain_seconds(BY_NAME["python"], CATALOG, LOCAL_BASE)
    assert longest == sum(BY_NAME[name].seconds for name in ("python", "python-build", "ai-engine"))


def test_the_load_generator_is_in_the_catalog_and_built_only_when_it_is_named() -> None:
    assert "load" not in image_catalog.STACK
    for source in ("registry", "local", "auto"):
        assert "load" not in look.missing_images(source, is_running=False)
    assert "load" in images.OURS  # no registry has it
    assert image_catalog.select(["load"], REGISTRY_BASE) == [BY_NAME["load"]]
    assert image_catalog.select(["load"], LOCAL_BASE) == [BY_NAME["base"], BY_NAME["load"]]
