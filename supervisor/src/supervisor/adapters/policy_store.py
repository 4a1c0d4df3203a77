"""The policies in force: the file, what was saved over the API on top of it, and what was changed until the restart.

Read anew in each cycle (a file of some kilobytes). A new version that cannot be leaves the old one in force, and says
so in `problem`. Used by the loop, the API and the command line; made by bootstrap.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from supervisor import policies
from supervisor.domain.policy import Policies
from supervisor.policies import Layer, PolicyError
from supervisor.policies.form import form_of
from supervisor.policies.tree import Tree, stacked

SAVED_NAME = "policies.saved.yml"
_SAVED_HEADER = "# Changes saved over the API. They lie on top of policies.yml; delete this file to be rid of them.\n"


class PolicyStore:
    """Raises PolicyError when made of a file that cannot be: then the start is refused. Never afterwards, but in patch.

    known_services: what the project has, where that is known; a policy for another one is a problem.
    """

    def __init__(self, path: Path, data_dir: Path, known_services: frozenset[str] | None = None) -> None:
        self._path = path
        self._saved_path = data_dir / SAVED_NAME
        self._known = known_services
        self._live: Tree = {}
        self._text = self._seen = _read_text(path)
        self._file = policies.read(self._text)
        self._file_problem = ""
        self._saved, self._saved_problem = self._read_saved()
        self._current = policies.build(self._layers(), known_services)
        self._labelled: tuple[object, tuple[Policies, tuple[str, ...]]] | None = None

    @property
    def current(self) -> Policies:
        return self._current

    @property
    def problem(self) -> str:
        """Why the newest policies.yml, or what was saved, is not in force; empty when all is."""
        return "\n".join(problem for problem in (self._file_problem, self._saved_problem) if problem)

    @property
    def text(self) -> str:
        """The text of policies.yml that is in force."""
        return self._text

    def refresh(self) -> Policies:
        """The policies in force after a look at the file."""
        try:
            text = _read_text(self._path)
        except PolicyError as error:
            self._file_problem, self._seen = str(error), ""
            return self._current
        if text == self._seen:
            return self._current
        self._seen = text
        try:
            file = policies.read(text)
            self._current = policies.build(self._layers(file=file), self._known)
        except PolicyError as error:
            self._file_problem = str(error)
        else:
            self._text, self._file, self._file_problem = text, file, ""
        return self._current

    def patch(self, changes: Mapping[str, Any], save: bool) -> Policies:
        """Lay `changes` (keys as in policies.yml; null takes a metric, a schedule or a service away) on top until the
        restart, or saved for good. Raises PolicyError, and then nothing has changed."""
        live = stacked(self._live, changes)
        saved = Layer(tree=stacked(self._saved.tree, changes), source=SAVED_NAME) if save else self._saved
        current = policies.build(self._layers(saved=saved, live=live), self._known)
        if save:
            # What a restart would find must hold without the other, unsaved changes.
            policies.build((self._file, saved), self._known)
            self._write_saved(saved.tree)
            self._saved, self._saved_problem = saved, ""
        self._live, self._current = live, current
        return current

    def for_labels(self, labels: Mapping[str, Mapping[str, str]]) -> tuple[Policies, tuple[str, ...]]:
        """The policies with the `supervisor.` labels of each service on top, and what is wrong with those labels."""
        key = (self._current, {name: dict(found) for name, found in labels.items() if found})
        if self._labelled is None or self._labelled[0] != key:
            self._labelled = (key, policies.overridden_by_labels(self._current, key[1]))
        return self._labelled[1]

    def effective(self) -> Tree:
        """Every key of every service with the value in force, in the shape of policies.yml."""
        services = {name: form_of(policy) for name, policy in self._current.services.items()}
        return {"dry_run": self._current.is_dry_run, "services": services}

    def _layers(
        self, *, file: Layer | None = None, saved: Layer | None = None, live: Tree | None = None
    ) -> tuple[Layer, ...]:
        change = Layer(tree=self._live if live is None else live, source="the change")
        return (file or self._file, saved or self._saved, change)

    def _read_saved(self) -> tuple[Layer, str]:
        """What was saved, when it still goes with the file; otherwise nothing, and why."""
        nothing = Layer(tree={}, source=SAVED_NAME)
        if not self._saved_path.exists():
            return nothing, ""
        try:
            saved = policies.read(_read_text(self._saved_path), SAVED_NAME)
            policies.build((self._file, saved), self._known)
        except PolicyError as error:
            policies.build((self._file,), self._known)  # when the file itself is at fault, that is what to say
            return nothing, f"what was saved is left out: {error}"
        return saved, ""

    def _write_saved(self, tree: Tree) -> None:
        text = _SAVED_HEADER + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        try:
            self._saved_path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._saved_path.parent, prefix=SAVED_NAME)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._saved_path)
        except OSError as error:
            raise PolicyError((f"the change could not be saved: {error}",)) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError((f"{path.name} cannot be read: {error}",)) from error
