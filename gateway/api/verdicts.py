"""What the model says: of one document, and of a company by period."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from gateway.api.answers import PROBLEMS
from gateway.api.companies import CompanyPath
from gateway.api.documents import DocId
from gateway.auth import Caller, key_with
from gateway.filters import PagingQuery, VerdictFilterQuery
from gateway.problems import not_found
from gateway.queries.companies import company_exists
from gateway.queries.documents import may_read
from gateway.queries.verdicts import Analysis, CompanyVerdict, VerdictPage, analysis_of, list_verdicts, verdicts_of
from gateway.resources import gateway_of

router = APIRouter(prefix="/v1", tags=["verdicts"], responses=PROBLEMS)

Viewer = Annotated[Caller, Depends(key_with("viewer"))]


@dataclass(frozen=True)
class DocumentJudgement:
    """A document's analysis and its verdicts; without analysis until the model has read it."""

    doc_id: str
    analysis: Analysis | None
    verdicts: tuple[CompanyVerdict, ...]


@router.get(
    "/documents/{doc_id}/analysis",
    operation_id="read_analysis",
    summary="A document's analysis and verdicts, with lineage",
)
async def analysis(request: Request, doc_id: DocId, caller: Viewer) -> DocumentJudgement:
    """`analysis` is null until the model has read the document."""
    async with gateway_of(request).reading.connect() as connection:
        if not await may_read(connection, caller.team_id, doc_id):
            raise not_found(f"document {doc_id}")
        return DocumentJudgement(
            doc_id, await analysis_of(connection, doc_id), await verdicts_of(connection, caller.team_id, doc_id)
        )


@router.get("/companies/{company_id}/verdicts", operation_id="list_verdicts", summary="Verdicts on a company by period")
async def verdicts(
    request: Request, company_id: CompanyPath, caller: Viewer, wanted: VerdictFilterQuery, page: PagingQuery
) -> VerdictPage:
    """Newest document first."""
    async with gateway_of(request).reading.connect() as connection:
        if not await company_exists(connection, caller.team_id, company_id):
            raise not_found(f"company {company_id}")
        return await list_verdicts(connection, caller.team_id, company_id, wanted, limit=page.limit, cursor=page.cursor)
