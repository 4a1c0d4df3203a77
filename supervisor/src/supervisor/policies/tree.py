"""Reads YAML into plain values, and remembers the line of each, so that every complaint can name it. Used by policies.

Stricter than YAML is: no duplicate keys, keys are text, one document, and 18:00 stays a time of day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str, ...]
Tree = dict[str, Any]

_MAX_NODES = 20_000  # aliases multiply; a policy has some hundreds
_MAX_DEPTH = 20
_INTEGER = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A complaint. `line` is None where there is no text (a change over the API, a label)."""

    text: str
    line: int | None = None
    source: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.source, f"line {self.line}" if self.line else "") if part)
        return f"{where}: {self.text}" if where else self.text


class PolicyError(Exception):
    """A policy that cannot be: one sentence a problem, with its line where there is one."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The file, what was saved, or a change. Later layers win. `source` names it in problems."""

    tree: Tree
    lines: Mapping[Path, int] = field(default_factory=dict)
    source: str = ""


def read(text: str, source: str = "") -> Layer:
    """YAML text as a layer; nothing at all is an empty one. Raises PolicyError."""
    loader = yaml.SafeLoader(text)
    try:
        reading = _Reading(loader)
        node = loader.get_single_node()
        tree = {} if node is None else reading.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise _error(
            Problem(text=f"this is not YAML: {what}", line=mark.line + 1 if mark else None), source=source
        ) from error
    except yaml.YAMLError as error:
        raise _error(Problem(text=f"this is not YAML: {error}"), source=source) from error
    finally:
        loader.dispose()
    if reading.problems:
        raise _error(*reading.problems, source=source)
    if not isinstance(tree, dict):
        raise _error(Problem(text="keys such as `services:` are expected here", line=1), source=source)
    return Layer(tree=tree, lines=reading.lines, source=source)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`over` laid on `base`, key by key; None takes a key away (RFC 7396, JSON Merge Patch)."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def stacked(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Two changes as one: like merged, but what takes a key away stays in, for what lies below."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = stacked(below, value)
        else:
            result[key] = dict(value) if isinstance(value, Mapping) else value
    return result


def line_of(layers: tuple[Layer, ...], *paths: Path) -> Problem:
    """Where one of the paths was written (the first that was, in the last layer that has it), as an empty Problem."""
    for path in paths:
        for end in range(len(path), 0, -1):
            for layer in reversed(layers):
                if _has(layer.tree, path[:end]):
                    return Problem(text="", line=layer.lines.get(path[:end]), source=layer.source)
    return Problem(text="")


def _has(tree: object, path: Path) -> bool:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True


def _error(*problems: Problem, source: str = "") -> PolicyError:
    return PolicyError(tuple(str(Problem(text=each.text, line=each.line, source=source)) for each in problems))


class _Reading:
    """One pass over the nodes of a document."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._count = 0
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise yaml.YAMLError("it is too large or too deep")
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(child, (*path, key)) for key, child in self._keys(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, str(index))) for index, child in enumerate(node.value)]
        if node.tag in (_INTEGER, _FLOAT) and ":" in node.value:
            return node.value  # YAML 1.1 takes 18:00 for a number of base 60
        return self._loader.construct_object(node)

    def _keys(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, int] = {}
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(text="a key must be text", line=line))
                continue
            key = str(key_node.value)
            if key in seen:
                text = f"{'.'.join((*path, key))} was written before, in line {seen[key]}"
                self.problems.append(Problem(text=text, line=line))
                continue
            seen[key] = line
            self.lines[*path, key] = line
            yield key, child
