"""What a worker of the AI engine leaves behind, written by hand: the backend's tests need results, not conversions."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from common.storage import addon_key, preview_key
from tests.fixtures.sample_mod import build_sample_mod
from tests.integration.backend_process import Stores

Row = tuple[str, str, str, str, list[str]]
ROWS: tuple[Row, ...] = (
    ("assets/a/textures/item/ruby.png", "texture", "converted", "", ["RP/textures/a/items/ruby.png"]),
    ("assets/a/sounds/hum.ogg", "sound", "unsupported", "Sounds are not translated yet", []),
    ("a:ruby", "item", "converted", "", ["BP/items/a/ruby.json"]),
    ("=HYPERLINK(1)", "other", "error", "@cmd 100% of_this", []),
    ("a/Main.class", "class", "ignored", "Code is not converted", []),
)
ADDON = b"PK\x03\x04" + bytes(range(256)) * 1200


def sample_jar(folder: Path, name: str = "mod.jar", **options: Any) -> Path:
    return build_sample_mod(folder / name, **options)


def upload(visitor: httpx.Client, jar: Path, *, name: str | None = None, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return visitor.post("/api/v1/conversions", files={"file": (name or jar.name, jar.read_bytes())}, headers=headers)


def uploaded(visitor: httpx.Client, jar: Path) -> str:
    """The id of a newly queued conversion."""
    answer = upload(visitor, jar)
    assert answer.status_code == 202, answer.text
    identifier = answer.json()["id"]
    assert isinstance(identifier, str)
    return identifier


def tenant_of(stores: Stores, conversion: str) -> uuid.UUID:
    [[tenant]] = stores.query("SELECT tenant_id FROM conversions WHERE id = %s", conversion)
    assert isinstance(tenant, uuid.UUID)
    return tenant


def complete(
    stores: Stores,
    conversion: str,
    *,
    rows: Sequence[Row] = ROWS,
    embedding: Sequence[float] | None = None,
    addon: bytes = ADDON,
) -> None:
    """Bring a conversion to its end: files, ledger, one preview, perhaps an embedding, status."""
    tenant = tenant_of(stores, conversion)
    identifier = uuid.UUID(conversion)
    for key, content in (
        (addon_key(tenant, identifier), addon),
        (preview_key(tenant, identifier, "0.png"), b"\x89PNG"),
    ):
        path = stores.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    counts = dict.fromkeys(("converted", "approximated", "unsupported", "ignored", "error"), 0)
    with stores.connect() as connection, connection.transaction(), connection.cursor() as cursor:
        for position, (source, kind, outcome, reason, outputs) in enumerate(rows):
            counts[outcome] += 1
            cursor.execute(
                "INSERT INTO ledger_rows VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [identifier, tenant, position, source, kind, outcome, reason, json.dumps(outputs)],
            )
        cursor.execute(
            "INSERT INTO previews VALUES (%s, %s, 0, 'a:ruby', 'item', '0.png', 16, 16)", [identifier, tenant]
        )
        if embedding is not None:
            cursor.execute(
                "INSERT INTO conversion_embeddings (conversion_id, tenant_id, model, embedding)"
                " VALUES (%s, %s, 'test-model', %s)",
                [identifier, tenant, str(list(embedding))],
            )
        cursor.execute(
            "UPDATE conversions SET status = 'completed', stage = 'done', progress = 1, finished_at = now(),"
            " addon_size_bytes = %s, addon_sha256 = %s, converted = %s, approximated = %s, unsupported = %s,"
            " ignored = %s, error = %s WHERE id = %s",
            [len(addon), hashlib.sha256(addon).hexdigest(), *counts.values(), identifier],
        )
