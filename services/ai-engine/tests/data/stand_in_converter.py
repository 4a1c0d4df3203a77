"""A converter that does what its jar says: stands in for `modporter` where a test needs a slow or a broken one.

The jar is a JSON object: {"rows": 3, "seconds": 0, "fail": [exit code, code, detail] | null, "crash": false}.
`write_result` is also what the unit tests start from.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

ADDON = b"an add-on"
ROWS = [
    {"source": "assets/demo/a.png", "kind": "texture", "outcome": "converted", "reason": "", "outputs": ["RP/a.png"]},
    {"source": "demo:brick", "kind": "block", "outcome": "approximated", "reason": "guessed", "outputs": []},
    {"source": "demo/Main.class", "kind": "class", "outcome": "unsupported", "reason": "code", "outputs": []},
]
OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")


def rows_of(count: int) -> list[dict[str, object]]:
    """The first rows of ROWS, then as many textures as are needed."""
    more = ({**ROWS[0], "source": f"assets/demo/{number}.png"} for number in range(count - len(ROWS)))
    return [*ROWS[:count], *more]


def write_result(out_dir: Path, ledger: list[dict[str, object]] = ROWS) -> None:
    """A whole result, as the real converter leaves it."""
    coverage = {name: sum(row["outcome"] == name for row in ledger) for name in OUTCOMES}
    (out_dir / "previews").mkdir()
    (out_dir / "previews" / "a.png").write_bytes(b"png")
    (out_dir / "addon.mcaddon").write_bytes(ADDON)
    (out_dir / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ledger))
    preview = {"java_id": "demo:a", "kind": "item", "file": "a.png", "width": 16, "height": 16}
    (out_dir / "previews.json").write_text(json.dumps([preview]))
    concept = {"java_id": "demo:brick", "kind": "block", "bedrock_id": "demo:brick", "reason": "guessed"}
    summary = {
        "mod": {"id": "demo", "name": "Demo", "version": "1.0", "loader": "fabric", "license": "MIT"},
        "coverage": {**coverage, "total": len(ledger)},
        "gates": {
            "crossref": {"passed": True, "findings": []},
            "mojang": {"passed": True, "ran": True, "findings": [], "version": "0.18.0"},
        },
        "addon": {"size_bytes": len(ADDON), "sha256": hashlib.sha256(ADDON).hexdigest()},
        "concepts": [{**concept, "outcome": "approximated"}],
        "summary_text": "Demo adds a brick.",
        "converter_version": "0.1.0",
    }
    (out_dir / "result.json").write_text(json.dumps(summary))


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main() -> None:
    jar, out_dir = Path(sys.argv[2]), Path(sys.argv[4])
    orders = json.loads(jar.read_text())
    say(event="progress", stage="reading", progress=0.0)
    ends_at = time.monotonic() + orders.get("seconds", 0)
    started = time.monotonic()
    while (now := time.monotonic()) < ends_at:
        say(event="progress", stage="translating", progress=round((now - started) / (ends_at - started), 3))
        time.sleep(0.05)
    if orders.get("crash"):
        os.abort()
    if orders.get("fail"):
        exit_code, code, detail = orders["fail"]
        say(event="failed", code=code, detail=detail)
        sys.exit(exit_code)
    write_result(out_dir, rows_of(orders.get("rows", 3)))
    say(event="progress", stage="storing", progress=1.0)
    say(event="completed")


if __name__ == "__main__":
    main()
