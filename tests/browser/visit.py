"""One visitor: what people do on the page, and what the browser complained about meanwhile."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, StorageState, expect

CONVERSION_SECONDS = 120
CONVERSION_URL = re.compile(r"/conversions/[0-9a-f-]{36}$")

_DROP = """([zone, files]) => {
  const data = new DataTransfer();
  for (const { name, content } of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name));
  }
  for (const type of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@dataclass(frozen=True)
class Finished:
    """A completed conversion of the sample mod: its path, and the cookies of the visitor who owns it."""

    path: str
    cookies: StorageState


@dataclass
class Visit:
    context: BrowserContext
    page: Page
    base_url: str
    # Errors that a test provokes on purpose, as regular expressions.
    expected: list[str] = field(default_factory=list)
    _complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_page_error)
        self.context.on("request", self._on_request)

    def complaints(self) -> list[str]:
        """Console errors, script errors (a broken content security policy is one) and requests to other origins."""
        return [each for each in self._complaints if not any(re.search(pattern, each) for pattern in self.expected)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def _on_page_error(self, error: Error) -> None:
        self._complaints.append(f"script error: {error}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.base_url + "/", "data:", "blob:")):
            self._complaints.append(f"request to another origin: {request.url}")

    # --- what people do ---------------------------------------------------------------------------------------------
    def pick(self, *files: Path) -> None:
        """Chooses files through the file input."""
        self.page.set_input_files("#file", [str(file) for file in files])

    def drop(self, *files: Path) -> None:
        """Drops files onto the page."""
        dropped = [{"name": file.name, "content": base64.b64encode(file.read_bytes()).decode()} for file in files]
        self.page.evaluate(_DROP, [self.page.query_selector("#drop-zone"), dropped])

    def convert(self, file: Path) -> str:
        """Uploads a mod, waits for the result, and returns the conversion's path."""
        self.page.goto("/")
        self.pick(file)
        self.page.wait_for_url(CONVERSION_URL)
        self.wait_for_result()
        return self.page.url.removeprefix(self.base_url)

    def wait_for_result(self) -> None:
        expect(self.page.locator(".result")).to_be_visible(timeout=CONVERSION_SECONDS * 1000)
        expect(self.page.locator(".page-head .badge")).to_have_text("completed")

    def is_scrolling_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
