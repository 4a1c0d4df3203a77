"""POST /embeddings, for the other services only: NGINX does not route it to the outside."""

from fastapi import APIRouter, Request

from ai_engine.embeddings.schemas import EmbeddingsRequest, EmbeddingsResponse
from ai_engine.embeddings.service import EmbeddingService

router = APIRouter()


@router.post("/embeddings")
async def create_embeddings(body: EmbeddingsRequest, request: Request) -> EmbeddingsResponse:
    service: EmbeddingService = request.app.state.embeddings
    vectors = await service.embed_or_refuse(body.texts)
    return EmbeddingsResponse(model=service.model_name, dimensions=service.dimensions, embeddings=vectors.tolist())
