"""What POST /embeddings takes and gives."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(max_length=8192)]


class EmbeddingsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    texts: list[Text] = Field(min_length=1, max_length=64, description="cut at 256 tokens each")


class EmbeddingsResponse(BaseModel):
    model: str
    dimensions: int
    embeddings: list[list[float]] = Field(description="one vector of length 1 for each text, in order")
