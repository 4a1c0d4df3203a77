"""The policies in force while their file changes, and changes made over the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.adapters.policy_store import SAVED_NAME, PolicyStore
from supervisor.policies import PolicyError, load

TEXT = "services:\n  backend: {scale: {enabled: true, min: 2, max: 8, metrics: {cpu: {target: 0.6}}}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def most(store: PolicyStore) -> int:
    return store.current.services["backend"].scale.max


def change(**scale: object) -> dict[str, object]:
    return {"services": {"backend": {"scale": scale}}}


def test_refuses_to_start_with_a_bad_file(file: Path, data: Path) -> None:
    file.write_text(TEXT.replace("min: 2", "min: 9"))
    with pytest.raises(PolicyError, match=r"^line 2: services\.backend\.scale\.min is 9, more than max 8$"):
        PolicyStore(file, data)
    file.write_text(TEXT)
    with pytest.raises(PolicyError, match="line 2: there is no service `backend`"):
        PolicyStore(file, data, frozenset({"frontend"}))
    with pytest.raises(PolicyError, match=r"missing\.yml cannot be read"):
        PolicyStore(file.with_name("missing.yml"), data)


def test_takes_a_new_version_and_leaves_a_bad_one(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    version = store.current.version
    assert store.refresh() is store.current
    file.write_text(TEXT.replace("max: 8", "max: 6"))
    assert store.refresh().services["backend"].scale.max == 6
    assert store.current.version != version
    file.write_text("services:\n  backend: {scale: {max: 0}}\n")
    store.refresh()
    assert most(store) == 6
    assert store.problem.startswith("line 2: services.backend.scale.max is 0")
    assert "max: 6" in store.text
    file.unlink()
    store.refresh()
    assert (most(store), "cannot be read" in store.problem) == (6, True)
    file.write_text(TEXT)
    store.refresh()
    assert (most(store), store.problem, store.current.version) == (8, "", version)


def test_a_file_that_was_away_and_comes_back_unchanged_is_no_problem(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    file.unlink()
    store.refresh()
    file.write_text(TEXT)
    store.refresh()
    assert store.problem == ""


def test_a_change_lasts_until_the_restart(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    assert store.patch(change(max=5), save=False) is store.current
    assert most(store) == 5
    file.write_text(TEXT.replace("min: 2", "min: 3"))
    store.refresh()
    assert (most(store), store.current.services["backend"].scale.min) == (5, 3)
    assert most(PolicyStore(file, data)) == 8


def test_a_saved_change_outlasts_it(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    store.patch(change(max=5), save=True)
    store.patch(change(metrics={"cpu": None, "memory": {"target": 0.8}}), save=True)
    store.patch(change(min=4), save=False)
    again = PolicyStore(file, data).current.services["backend"].scale
    assert (again.min, again.max) == (2, 5)
    assert [metric.name for metric in again.metrics] == ["memory"]
    assert list(data.iterdir()) == [data / SAVED_NAME]


@pytest.mark.parametrize("save", [True, False])
def test_a_bad_change_changes_nothing(file: Path, data: Path, save: bool) -> None:
    store = PolicyStore(file, data)
    before = store.current
    with pytest.raises(PolicyError, match=r"the change: .*min is 2, more than max 1") as caught:
        store.patch({"services": {"backend": {"scale": {"max": 1, "min": 2}}}}, save=save)
    assert "line" not in str(caught.value)
    with pytest.raises(PolicyError, match="did you mean `services`"):
        store.patch({"servces": {}}, save=save)
    assert store.current is before
    assert not (data / SAVED_NAME).exists()


def test_a_change_names_the_line_that_it_contradicts(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    store.patch(change(max=3), save=False)
    file.write_text(TEXT.replace("min: 2", "min: 4"))
    store.refresh()
    assert store.problem == "line 2: services.backend.scale.min is 4, more than max 3"
    assert store.current.services["backend"].scale.min == 2


def test_a_change_that_holds_only_with_unsaved_ones_is_not_saved(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    store.patch(change(max=20), save=False)
    with pytest.raises(PolicyError, match="min is 15, more than max 8"):
        store.patch(change(min=15), save=True)
    assert store.current.services["backend"].scale.min == 2


def test_saved_changes_that_no_longer_fit_are_left_out_and_told(file: Path, data: Path) -> None:
    PolicyStore(file, data).patch(change(min=7), save=True)
    file.write_text(TEXT.replace("max: 8", "max: 6"))
    store = PolicyStore(file, data)
    assert store.current.services["backend"].scale.min == 2
    assert store.problem == (
        f"what was saved is left out: {SAVED_NAME} line 5: services.backend.scale.min is 7, more than max 6"
    )
    (data / SAVED_NAME).write_text("services: [")
    assert PolicyStore(file, data).problem.startswith("what was saved is left out: policies.saved.yml line 1: this is")


def test_a_service_can_be_taken_away_and_added(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    store.patch({"services": {"backend": None, "frontend": {"heal": {"min_ready": 0}}}}, save=False)
    assert set(store.current.services) == {"frontend"}


def test_a_full_disk_is_told_and_changes_nothing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    store = PolicyStore(file, tmp_path / "data")
    with pytest.raises(PolicyError, match="the change could not be saved"):
        store.patch(change(max=5), save=True)
    assert most(store) == 8


def test_effective_is_the_whole_policy_in_the_shape_of_the_file(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    store.patch({"dry_run": True}, save=False)
    form = store.effective()
    assert form["dry_run"] is True
    assert form["services"]["backend"]["scale"]["max"] == 8
    assert form["services"]["backend"]["drain"]["timeout_seconds"] == 60
    store.patch(form, save=True)
    assert PolicyStore(file, data).effective() == form


def test_labels_lie_on_top(file: Path, data: Path) -> None:
    store = PolicyStore(file, data)
    found, problems = store.for_labels({"backend": {"supervisor.scale.max": "4"}, "nginx": {}})
    assert (found.services["backend"].scale.max, problems) == (4, ())
    assert store.for_labels({"backend": {"supervisor.scale.max": "4"}})[0] is found
    store.patch(change(tolerance_ratio=0.2), save=False)
    again, _ = store.for_labels({"backend": {"supervisor.scale.max": "4"}})
    assert (again.services["backend"].scale.max, again.services["backend"].scale.tolerance_ratio) == (4, 0.2)
    assert store.for_labels({"backend": {"supervisor.scale.max": "x"}})[1]
    assert store.current.services["backend"].scale.max == 8
    assert load(TEXT).services["backend"].scale.max == 8
