"""Turns templates into answers. Everything is escaped by default: log lines and image names come from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from supervisor.api.auth import Operator
from supervisor.api.context import context_of
from supervisor.api.dashboard.formats import FILTERS, lasted
from supervisor.api.dashboard.static_files import StaticFiles

NAVIGATION = (
    ("/", "Overview", "o"),
    ("/decisions", "Decisions", "d"),
    ("/incidents", "Incidents", "i"),
    ("/rollouts", "Rollouts", "r"),
    ("/policies", "Policies", "p"),
    ("/audit", "Audit", "a"),
)


@dataclass(frozen=True, slots=True)
class Renderer:
    """The templates with the filters they use; one per process."""

    environment: Environment
    static: StaticFiles

    def html(self, template: str, **context: Any) -> str:
        return self.environment.get_template(template).render(context, static=self.static.url)

    def page(
        self, request: Request, template: str, *, operator: Operator | None = None, code: int = 200, **context: Any
    ) -> HTMLResponse:
        """A page; with an operator: with the navigation and the token that its actions need."""
        known = context_of(request)
        shared = {
            "path": request.url.path,
            "operator": operator,
            "project": known.settings.project,
            "public_url": known.settings.public_url.rstrip("/") + "/status/",
            "cycle_seconds": known.settings.cycle_seconds,
            "is_stale": known.is_stale,
        }
        return HTMLResponse(self.html(template, **shared, **context), status_code=code)


def build_renderer(static: StaticFiles) -> Renderer:
    """The renderer with the addresses of these files."""
    return Renderer(_environment(), static)


@cache
def _environment() -> Environment:
    """Compiles lazily and once a process; fails loudly: an unknown variable in a template is an error."""
    environment = Environment(
        loader=PackageLoader("supervisor.api.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= FILTERS
    environment.globals |= {"navigation": NAVIGATION, "lasted": lasted}
    environment.globals["ui"] = environment.get_template("_macros.html").module
    return environment


def renderer_of(request: Request) -> Renderer:
    renderer = request.app.state.renderer
    assert isinstance(renderer, Renderer)  # noqa: S101 - narrows the type of the application's state
    return renderer


Pages = Annotated[Renderer, Depends(renderer_of)]
