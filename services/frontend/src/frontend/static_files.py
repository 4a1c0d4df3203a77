"""Serves the browser files, own and third-party, from memory, under addresses that hold a hash of their content.

An address with the right hash may be kept by browsers for ever. One with another hash (a page rendered by a replica of
another version during a rollout) gets the file of this version and is not kept.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

OWN_DIR = Path(__file__).parent / "static"
# name on the page -> path below STATIC_VENDOR_DIR, as npm lays the packages out
VENDOR_FILES = {"htmx.js": "htmx.org/dist/htmx.min.js", "htmx-sse.js": "htmx-ext-sse/dist/sse.min.js"}
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_KEEP = "public, max-age=31536000, immutable"


class BrowserFilesMissingError(Exception):
    """A third-party file is not where STATIC_VENDOR_DIR says."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    name: str
    content: bytes
    digest: str

    @property
    def url(self) -> str:
        return f"/static/{self.digest}/{self.name}"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[Path(self.name).suffix]


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files by name; read once at start, so that a missing one stops the start and not a visitor."""

    files: dict[str, StaticFile]

    def url(self, name: str) -> str:
        """The address of a file; KeyError for a name that does not exist, which a test of any page shows."""
        return self.files[name].url

    def response(self, name: str, digest: str | None = None) -> Response:
        """The file, kept by browsers only when the digest is the file's own; HTTPException 404 for unknown names."""
        file = self.files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": _KEEP if digest == file.digest else "no-cache"}
        return Response(file.content, media_type=file.media_type, headers=headers)


def load_static_files(vendor_dir: Path) -> StaticFiles:
    """Reads every file; raises BrowserFilesMissingError when npm's packages are not there."""
    contents = {path.name: path.read_bytes() for path in sorted(OWN_DIR.iterdir()) if path.suffix in _MEDIA_TYPES}
    for name, relative in VENDOR_FILES.items():
        path = vendor_dir / relative
        if not path.is_file():
            raise BrowserFilesMissingError(
                f"{path} is missing: run `npm ci` in services/frontend or set STATIC_VENDOR_DIR"
            )
        contents[name] = path.read_bytes()
    digests = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in contents.items()}
    return StaticFiles({name: StaticFile(name, content, digests[name]) for name, content in contents.items()})


def static_router(static: StaticFiles) -> APIRouter:
    """Routes for /static and the few addresses that browsers and crawlers ask for by themselves."""
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{digest}/{name}")
    async def static_file(digest: str, name: str) -> Response:
        return static.response(name, digest)

    @router.get("/favicon.ico")
    @router.get("/favicon.svg")
    async def favicon() -> Response:
        return static.response("icon.svg")

    @router.get("/robots.txt")
    async def robots() -> Response:
        return static.response("robots.txt")

    return router
