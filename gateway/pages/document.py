"""/documents/{doc_id}: one document with its proof; /media/{sha256}: its recording, for the player."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.api.documents import DocId
from gateway.api.media import Sha256
from gateway.media import media_response
from gateway.pages import marks
from gateway.pages.overview import SignedIn
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import not_found
from gateway.queries.reading import read_document
from gateway.resources import gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])


def _back(request: Request) -> str:
    """The list that the reader came from, with its filters."""
    came_from = urlsplit(request.headers.get("referer", ""))
    if came_from.netloc == request.headers.get("host") and came_from.path in ("/", "/search") and came_from.query:
        return f"{came_from.path}?{came_from.query}"
    return "/"


@router.get("/documents/{doc_id}")
async def document(request: Request, doc_id: DocId, caller: SignedIn) -> Response:
    """The text with mentions and evidence marked, beside the verdicts."""
    async with gateway_of(request).reading.connect() as connection:
        found = await read_document(connection, caller.team_id, doc_id)
    if found is None:
        raise not_found(f"document {doc_id}")
    text_marks = marks.text_marks(found)
    judged = {verdict.company_id for verdict in found.verdicts}
    return render(
        request,
        "document.html",
        caller=caller,
        document=found,
        text_marks=text_marks,
        title=marks.marked(found.title, marks.title_marks(found)),
        paragraphs=list(marks.paragraphs(found.text, text_marks)),
        unjudged=list(dict.fromkeys(span.company for span in found.mentions if span.company_id not in judged)),
        back=_back(request),
        marked_sentiments={mark.sentiment for mark in text_marks},
        anchors={mark.anchor for mark in text_marks},
    )


@router.api_route("/media/{sha256}", methods=["GET", "HEAD"])
async def media(request: Request, sha256: Sha256, caller: SignedIn) -> Response:
    """The recording, with ranges."""
    return await media_response(request, gateway_of(request), caller.team_id, sha256)
