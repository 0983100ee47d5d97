"""/v1/media: recordings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.media import media_response
from gateway.resources import gateway_of

router = APIRouter(prefix="/v1/media", tags=["media"], responses=PROBLEMS)

Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="64 hex digits")]


@router.get(
    "/{sha256}/content",
    operation_id="read_media",
    summary="A recording's bytes",
    response_class=Response,
    responses={206: {"description": "The part asked for by `Range`"}, 416: PROBLEMS[404] | {"description": "Outside"}},
)
async def content(request: Request, sha256: Sha256, caller: Annotated[Caller, Depends(key_with("viewer"))]) -> Response:
    """Honours `Range: bytes=`, so that players can jump."""
    return await media_response(request, gateway_of(request), caller.team_id, sha256)
