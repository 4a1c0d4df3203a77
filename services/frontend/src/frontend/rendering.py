"""Turns templates into answers. Everything is escaped by default: names and reasons come out of strangers' jars."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from frontend.backend_client import Visitor
from frontend.messages import OUTCOMES, STAGES
from frontend.static_files import StaticFiles

_UNITS = ("bytes", "KB", "MB", "GB")
_LOADERS = {"fabric": "Fabric", "forge": "Forge", "neoforge": "NeoForge"}
_AGES = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True)
class Renderer:
    """The templates with the filters they use; one per process."""

    environment: Environment

    def html(self, template: str, **context: Any) -> str:
        """A template or fragment as text."""
        return self.environment.get_template(template).render(context)

    def page(
        self,
        request: Request,
        template: str,
        *,
        visitor: Visitor | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> HTMLResponse:
        """An answer that also hands the cookies which the backend set over to the visitor's browser."""
        content = self.html(template, path=request.url.path, site=str(request.base_url).rstrip("/"), **context)
        response = HTMLResponse(content, status_code=status, headers=dict(headers or {}))
        for cookie in visitor.set_cookies if visitor is not None else ():
            response.headers.append("set-cookie", cookie)
        # One address answers htmx with a fragment and a browser with a page; nothing between may mix them up.
        response.headers["Vary"] = "HX-Request"
        return response


def build_renderer(static: StaticFiles, max_upload_mb: int) -> Renderer:
    """Compiles lazily, fails loudly: an unknown variable in a template is an error."""
    environment = Environment(
        loader=PackageLoader("frontend"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"file_size": file_size, "ago": ago, "count": count, "percent": percent}
    environment.filters |= {"breakable": breakable, "loader_name": loader_name}
    environment.globals |= {
        "static": static.url,
        "stages": STAGES,
        "outcomes": OUTCOMES,
        "max_upload_mb": max_upload_mb,
    }
    environment.globals["ui"] = environment.get_template("_macros.html").module
    return Renderer(environment)


def file_size(size_bytes: int) -> str:
    """Bytes for people: 512 bytes, 3.4 KB, 27 MB."""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit and size < 10 else f"{size:.0f} {_UNITS[unit]}"


def ago(moment: datetime) -> str:
    """How long ago something was: just now, 3 minutes ago, 2 days ago."""
    seconds = (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
    for length, unit in _AGES:
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def count(number: int) -> str:
    """A whole number with thin spaces between groups of thousands."""
    return f"{number:,}".replace(",", "\u202f")


def percent(ratio: float) -> str:
    """A share of 0 to 1 in whole per cent; only nothing is 0 % and only everything is 100 %."""
    if 0 < ratio < 1:
        return f"{min(99, max(1, round(ratio * 100)))}%"
    return f"{round(ratio * 100)}%"


def breakable(name: str) -> Markup:
    """A path or id, escaped, that may be broken into lines after its separators."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_/:.])", name) if part)


def loader_name(loader: str) -> str:
    """A mod loader as it writes itself; an unknown one as the jar wrote it."""
    return _LOADERS.get(loader.lower(), loader)
