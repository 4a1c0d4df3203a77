"""Everything that can be set from outside; built once in main.py and passed in."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, HttpUrl

from common.settings import ServiceSettings

_SOURCE_CHECKOUT = Path(__file__).parents[2]


class FrontendSettings(ServiceSettings):
    """Environment of the frontend. It has no secrets."""

    service_name: ClassVar[str] = "frontend"

    backend_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8081"), description="Where the backend's API answers, without a path"
    )
    max_upload_mb: int = Field(
        default=100, ge=1, le=1024, description="Largest jar that the backend takes, in MB; larger ones are not sent"
    )
    static_vendor_dir: Path = Field(
        default=_SOURCE_CHECKOUT / "node_modules",
        description="Folder that holds htmx.org/ and htmx-ext-sse/ as npm lays them out",
    )
