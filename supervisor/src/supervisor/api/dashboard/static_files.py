"""Serves the browser files, own and third-party, under addresses that hold a hash of all their contents.

The files are there for the public view too, below its own prefix, without signing in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from common.browser_files import browser_file_response, read_browser_files

OWN_DIR = Path(__file__).parent / "static"
# name on the page -> path below the vendor folder, as npm lays the packages out
VENDOR_FILES = {"uplot.js": "uplot/dist/uPlot.iife.min.js", "uplot.css": "uplot/dist/uPlot.min.css"}


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files by name; read once at start, so that a missing one stops the start and not a visitor."""

    files: dict[str, bytes]
    digest: str  # of all of them: modules import each other by relative addresses, so they share one

    def url(self, name: str, base: str = "/") -> str:
        """The address of a file; KeyError for a name that does not exist, which a test of any page shows."""
        if name not in self.files:
            raise KeyError(name)
        return f"{base}static/{self.digest}/{name}"

    def response(self, name: str, digest: str) -> Response:
        """The file, kept by browsers only when the digest is right; HTTPException 404 for unknown names."""
        if name not in self.files:
            raise HTTPException(404)
        return browser_file_response(name, self.files[name], is_current=digest == self.digest)


def load_static_files(vendor_dir: Path) -> StaticFiles:
    """Reads every file; raises BrowserFilesMissingError when npm's packages are not there."""
    files = read_browser_files(OWN_DIR, vendor_dir, VENDOR_FILES, "supervisor/")
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + files[name] for name in sorted(files)))
    return StaticFiles(files, digest.hexdigest()[:16])


def static_router(static: StaticFiles) -> APIRouter:
    """Routes for the files, and for the address that browsers ask for by themselves."""
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{digest}/{name}")
    @router.get("/public/static/{digest}/{name}")
    async def static_file(digest: str, name: str) -> Response:
        return static.response(name, digest)

    @router.get("/favicon.ico")
    async def favicon() -> Response:
        return static.response("icon.svg", "")

    return router
