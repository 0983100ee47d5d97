"""/v1/documents: lists and single documents; /v1/search: the same list for words."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import DocumentFilterQuery, PagingQuery
from gateway.problems import bad_request, not_found
from gateway.queries.documents import DocumentPage, list_documents
from gateway.queries.reading import DocumentDetail, read_document
from gateway.resources import gateway_of

router = APIRouter(prefix="/v1", tags=["documents"], responses=PROBLEMS)

DocId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hex digits")]
Viewer = Annotated[Caller, Depends(key_with("viewer"))]


@router.get("/documents", operation_id="list_documents", summary="Documents that mention the team's companies")
async def documents(request: Request, caller: Viewer, wanted: DocumentFilterQuery, page: PagingQuery) -> DocumentPage:
    """Newest first, unless `sort` says otherwise. Sentiment, risk and company have to hold of one and the same verdict."""
    page = page.of(wanted)
    async with gateway_of(request).reading.connect() as connection:
        return await list_documents(connection, caller.team_id, wanted, limit=page.limit, cursor=page.cursor)


@router.get("/search", operation_id="search_documents", summary="Documents that hold all words of a query")
async def search(request: Request, caller: Viewer, wanted: DocumentFilterQuery, page: PagingQuery) -> DocumentPage:
    """`q` is required; all filters of the list of documents may be added. Newest first."""
    if wanted.terms is None:
        raise bad_request("query.q", "is missing", "search for a word, such as q=质量问题")
    return await documents(request, caller, wanted, page)


@router.get("/documents/{doc_id}", operation_id="read_document", summary="One document with all that is known of it")
async def document(request: Request, doc_id: DocId, caller: Viewer) -> DocumentDetail:
    """Text, images, mentions, analysis, verdicts with evidence, recordings with transcripts, reprint group with its changes."""
    async with gateway_of(request).reading.connect() as connection:
        found = await read_document(connection, caller.team_id, doc_id)
    if found is None:
        raise not_found(f"document {doc_id}")
    return found
