"""What a page needs in the browser, a service's own files and third-party ones, read once and served from memory.

How addresses are made (a hash in each) is the service's business. An address with the right hash may be kept by
browsers for ever; one with another hash (a page of another version, during a rollout) gets the file of this version and
is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_KEEP = "public, max-age=31536000, immutable"


class BrowserFilesMissingError(Exception):
    """A third-party file is not where STATIC_VENDOR_DIR says."""


def read_browser_files(
    own_dir: Path, vendor_dir: Path, vendor_files: Mapping[str, str], package: str
) -> dict[str, bytes]:
    """The contents by name. `vendor_files`: names on the page and where npm puts them; `package`: the folder whose
    `npm ci` does. Raises BrowserFilesMissingError when it has not run."""
    contents = {path.name: path.read_bytes() for path in sorted(own_dir.iterdir()) if path.suffix in MEDIA_TYPES}
    for name, relative in vendor_files.items():
        path = vendor_dir / relative
        if not path.is_file():
            raise BrowserFilesMissingError(f"{path} is missing: run `npm ci` in {package} or set STATIC_VENDOR_DIR")
        contents[name] = path.read_bytes()
    return contents


def browser_file_response(name: str, content: bytes, *, is_current: bool) -> Response:
    """The file; browsers keep it when its address `is_current`."""
    headers = {"Cache-Control": _KEEP if is_current else "no-cache"}
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)
