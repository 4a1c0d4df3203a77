"""One conversion from jar to validated add-on: the order of the steps, and what is written where.

    open_jar -> read_metadata -> build_mod -> TRANSLATORS -> leftovers -> assemble -> gates -> ledger, result, previews

Called by the CLI and, as a library, by anyone. Everything that decides something lives in the modules it calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from converter import ledger
from converter.assemble import addon_files, write_addon
from converter.bedrock.names import assign_bedrock_ids
from converter.errors import GateFailed
from converter.gates import crossref, mojang
from converter.inventory import build_mod
from converter.jar import open_jar
from converter.ledger import Ledger, Row
from converter.metadata import read_metadata
from converter.model import Mod
from converter.options import Options
from converter.previews import write_previews
from converter.report import concepts, summary_text
from converter.translate import TRANSLATORS
from converter.translate.base import Context, Translation
from converter.translate.leftovers import leftover_rows
from converter.vanilla import VanillaTables, load_tables
from converter.version import VERSION

Stage = Literal["reading", "translating", "assembling", "validating", "storing"]
_STARTS: dict[Stage, float] = {
    "reading": 0.0,
    "translating": 0.1,
    "assembling": 0.55,
    "validating": 0.65,
    "storing": 0.95,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """`progress` runs from 0 to 1 over all stages and never goes back."""

    stage: Stage
    progress: float


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a conversion gave. `summary` is the content of result.json; `rows` the ledger."""

    addon: Path
    rows: tuple[Row, ...]
    summary: dict[str, Any]

    @property
    def coverage(self) -> dict[str, int]:
        """Rows by outcome, and `total`."""
        return dict(self.summary["coverage"])


def convert(
    jar: Path, out_dir: Path, *, options: Options | None = None, on_progress: OnProgress = lambda _: None
) -> Result:
    """Convert `jar` into `out_dir`: addon.mcaddon, ledger.jsonl, result.json, previews/ and previews.json.

    Raises BadJar for a jar that is refused, GateFailed for an add-on that a gate refused (no add-on is left then), and
    ToolMissing when the vanilla tables or Mojang's validator are absent.
    """
    options = options or Options()
    addon = out_dir / "addon.mcaddon"
    on_progress(Progress("reading", _STARTS["reading"]))
    vanilla = load_tables(options.vanilla_tables)
    with open_jar(jar, options.limits) as files:
        mod = build_mod(files, read_metadata(files))
        rows, produced, ids = _translate(mod, options, vanilla, on_progress)
        on_progress(Progress("assembling", _STARTS["assembling"]))
        made = addon_files(produced, mod.info.id)
        closed = rows.close({file.path for file in made})
        out_dir.mkdir(parents=True, exist_ok=True)
        write_addon(made, files, addon)
    on_progress(Progress("validating", _STARTS["validating"]))
    try:
        gates = _pass_gates(addon, options, vanilla)
    except BaseException:
        addon.unlink()
        raise
    on_progress(Progress("storing", _STARTS["storing"]))
    write_previews(addon, ids, out_dir, options)
    summary = _summary(mod, closed, gates, ids, addon)
    ledger.write_jsonl(closed, out_dir / "ledger.jsonl")
    _write_json(summary, out_dir / "result.json")
    on_progress(Progress("storing", 1.0))
    return Result(addon, closed, summary)


def _translate(
    mod: Mod, options: Options, vanilla: VanillaTables, on_progress: OnProgress
) -> tuple[Ledger, Translation, dict[str, str]]:
    """The open ledger, everything that was made, and the Bedrock id of each registry id."""
    ids = assign_bedrock_ids(mod.blocks + mod.items)
    rows = Ledger(mod.files.names, mod.blocks, mod.items)
    produced = Translation()
    start, end = _STARTS["translating"], _STARTS["assembling"]
    for done, (name, translate) in enumerate(TRANSLATORS):
        on_progress(Progress("translating", start + (end - start) * done / len(TRANSLATORS)))
        made = translate(mod, Context(options, vanilla, produced, ids))
        rows.claim(made.rows, by=name)
        produced.merge(made, by=name)
    rows.claim(leftover_rows(mod, rows.unclaimed()), by="leftovers")
    return rows, produced, ids


def _pass_gates(addon: Path, options: Options, vanilla: VanillaTables) -> dict[str, Any]:
    """Both gates' verdicts for result.json. Raises GateFailed by the first that refuses."""
    findings = crossref.check(addon, vanilla)
    if findings:
        raise GateFailed("crossref", findings)
    report = mojang.validate(addon, options) if options.mojang_gate else mojang.NOT_RUN
    if not report.passed:
        raise GateFailed("mojang", report.findings)
    return {
        "crossref": {"passed": True, "findings": []},
        "mojang": {
            "passed": report.ran,
            "ran": report.ran,
            "findings": list(report.findings),
            "version": report.version,
        },
    }


def _summary(
    mod: Mod, rows: tuple[Row, ...], gates: dict[str, Any], ids: dict[str, str], addon: Path
) -> dict[str, Any]:
    info = mod.info
    with addon.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "mod": {
            "id": info.id,
            "name": info.name,
            "version": info.version,
            "loader": info.loader,
            "description": info.description,
            "authors": list(info.authors),
            "license": info.license,
        },
        "coverage": ledger.coverage(rows),
        "gates": gates,
        "addon": {"size_bytes": addon.stat().st_size, "sha256": digest},
        "concepts": concepts(rows, ids),
        "summary_text": summary_text(info, rows),
        "converter_version": VERSION,
    }


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
