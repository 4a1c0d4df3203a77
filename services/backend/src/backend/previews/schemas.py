"""What the API says about previews."""

from __future__ import annotations

from pydantic import BaseModel


class PreviewView(BaseModel):
    """A converted texture as a PNG; width and height in pixels."""

    java_id: str
    kind: str
    url: str
    width: int
    height: int
