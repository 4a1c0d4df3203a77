"""The converter's output is read as data from a stranger."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ai_engine.conversions.repository import LEDGER_BATCH_ROWS, ledger_batches
from ai_engine.conversions.result import ConversionResult, LedgerRow, ResultError, read_result

WriteResult = Callable[..., None]


def test_a_whole_result(tmp_path: Path, write_result: WriteResult) -> None:
    write_result(tmp_path)
    result = read_result(tmp_path)
    assert result.summary.mod.id == "demo"
    assert [row.source for row in result.ledger()] == ["assets/demo/a.png", "demo:brick", "demo/Main.class"]
    assert result.preview_path(result.previews[0]).read_bytes() == b"png"
    assert result.addon_path.stat().st_size == result.summary.addon.size_bytes


def test_text_that_postgres_cannot_hold_is_replaced(tmp_path: Path, write_result: WriteResult) -> None:
    rows = [{"source": "a\0b\ud83d", "kind": "other", "outcome": "ignored", "reason": "", "outputs": ["\0"]}]
    write_result(tmp_path, ledger=rows)
    [row] = read_result(tmp_path).ledger()
    assert (row.source, row.outputs) == ("a\ufffdb?", ["\ufffd"])


async def test_the_ledger_is_read_off_the_event_loop_and_in_batches(tmp_path: Path, write_result: WriteResult) -> None:
    count = 2 * LEDGER_BATCH_ROWS + 1
    row = {"source": "a", "kind": "other", "outcome": "ignored", "reason": "", "outputs": []}
    write_result(tmp_path, ledger=[row] * count)
    whole = read_result(tmp_path)
    threads = set()

    class Watched(ConversionResult):
        def ledger(self) -> Iterator[LedgerRow]:
            for row in whole.ledger():
                threads.add(threading.get_ident())
                yield row

    sizes = [len(batch) async for batch in ledger_batches(Watched(tmp_path, whole.summary, whole.previews))]
    assert sizes == [LEDGER_BATCH_ROWS, LEDGER_BATCH_ROWS, 1]
    assert threading.get_ident() not in threads


def summary_with(**changes: Any) -> Callable[[Path], None]:
    def change(out_dir: Path) -> None:
        path = out_dir / "result.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def replaced_by_link(name: str) -> Callable[[Path], None]:
    def change(out_dir: Path) -> None:
        target = out_dir.parent / "secret"
        target.write_bytes((out_dir / name).read_bytes())
        (out_dir / name).unlink()
        (out_dir / name).symlink_to(target)

    return change


def previews_folder_by_link(out_dir: Path) -> None:
    (out_dir / "previews").rename(out_dir.parent / "elsewhere")
    (out_dir / "previews").symlink_to(out_dir.parent / "elsewhere")


def hard_link(out_dir: Path) -> None:
    os.link(out_dir / "addon.mcaddon", out_dir / "second")


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda out: (out / "result.json").unlink(), "result.json is missing"),
        (lambda out: (out / "ledger.jsonl").unlink(), "ledger.jsonl is missing"),
        (lambda out: (out / "addon.mcaddon").unlink(), "addon.mcaddon is missing"),
        (lambda out: (out / "previews" / "a.png").unlink(), "a.png is missing"),
        (lambda out: (out / "result.json").write_text("[" * 100_000), "cannot be read"),
        (lambda out: (out / "result.json").write_text("{}"), "cannot be read"),
        (lambda out: (out / "ledger.jsonl").write_text('{"source": 1}\n'), "cannot be read"),
        (lambda out: (out / "ledger.jsonl").write_text(""), "do not add up"),
        (lambda out: (out / "addon.mcaddon").write_bytes(b"longer than said"), "not as long"),
        (summary_with(gates={"crossref": {"passed": False}, "mojang": {"passed": True, "ran": True}}), "both gates"),
        (summary_with(gates={"crossref": {"passed": True}, "mojang": {"passed": True, "ran": False}}), "both gates"),
        (lambda out: (out / "previews.json").write_text('[{"file": "../../etc/passwd.png"}]'), "cannot be read"),
        (replaced_by_link("addon.mcaddon"), "not a plain file"),
        (replaced_by_link("ledger.jsonl"), "not a plain file"),
        (replaced_by_link("previews/a.png"), "not a plain file"),
        (previews_folder_by_link, "not a plain file"),
        (hard_link, "not a plain file"),
    ],
)
def test_what_is_not_whole_is_refused(
    tmp_path: Path, write_result: WriteResult, break_it: Callable[[Path], None], reason: str
) -> None:
    out_dir = tmp_path / "out"
    out_dir.mkdir()
    write_result(out_dir)
    break_it(out_dir)
    with pytest.raises(ResultError, match=reason):
        read_result(out_dir)
