"""Serves the browser files, own and third-party, each under an address that holds a hash of its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from common.browser_files import browser_file_response, read_browser_files

OWN_DIR = Path(__file__).parent / "static"
# name on the page -> path below STATIC_VENDOR_DIR, as npm lays the packages out
VENDOR_FILES = {"htmx.js": "htmx.org/dist/htmx.min.js", "htmx-sse.js": "htmx-ext-sse/dist/sse.min.js"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    name: str
    content: bytes
    digest: str

    @property
    def url(self) -> str:
        return f"/static/{self.digest}/{self.name}"


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
        return browser_file_response(name, file.content, is_current=digest == file.digest)


def load_static_files(vendor_dir: Path) -> StaticFiles:
    """Reads every file; raises BrowserFilesMissingError when npm's packages are not there."""
    contents = read_browser_files(OWN_DIR, vendor_dir, VENDOR_FILES, "services/frontend")
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
