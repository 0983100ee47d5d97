"""Corrections: an analyst changes a verdict; who, why and what it was before are kept."""

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.api.answers import EDITS, PROBLEMS
from gateway.api.companies import CompanyPath
from gateway.api.documents import DocId
from gateway.api.export import ExportResponse, refuse_when_busy
from gateway.auth import Caller, key_with
from gateway.etags import demand_match, etag, not_modified
from gateway.filters import Since, moment
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem, bad_request, not_found
from gateway.queries import audit
from gateway.queries.corrections import (
    CorrectionVersion,
    NewCorrection,
    QuoteMissing,
    hand_down,
    history,
    judged_text,
    locate,
    store_correction,
    training_examples,
)
from gateway.queries.verdicts import CompanyVerdict, verdict_of
from gateway.resources import Gateway, gateway_of
from yuqing.contracts import RISK_TYPES, Sentiment

router = APIRouter(prefix="/v1", tags=["corrections"], responses=PROBLEMS, route_class=IdempotentRoute)

Viewer = Annotated[Caller, Depends(key_with("viewer"))]
Analyst = Annotated[Caller, Depends(key_with("analyst"))]
RiskType = Literal[
    "产品质量", "财务", "法律合规", "劳资", "安全事故", "数据泄露", "高管", "市场竞争", "舆论危机", "其他"
]
assert RiskType.__args__ == RISK_TYPES  # type: ignore[attr-defined]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
# As many sentences as a reader looks through; the model names at most three.
MAXIMUM_QUOTES = 10


class QuoteOf(BaseModel):
    """A quote from the document's text; without `start` the first place where it stands."""

    model_config = ConfigDict(extra="forbid")

    quote: str = Field(min_length=1, max_length=2000)
    start: int | None = Field(None, ge=0, le=2**31)


class ChangedVerdict(BaseModel):
    """What is to be shown instead of the model's words; what is not named stays as it is shown."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "sentiment": "negative",
                    "risk_level": 2,
                    "risk_types": ["产品质量"],
                    "evidence": [{"quote": "公司宣布召回一批产品。"}],
                    "reason": "召回与质量有关，模型判断过轻",
                }
            ]
        },
    )

    sentiment: Sentiment | None = None
    risk_level: int | None = Field(None, ge=0, le=4)
    risk_types: list[RiskType] | None = Field(None, max_length=len(RISK_TYPES))
    evidence: list[QuoteOf] | None = Field(None, max_length=MAXIMUM_QUOTES)
    reason: Reason = Field(description="why; kept with the change")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None for value in (self.sentiment, self.risk_level, self.risk_types, self.evidence)):
            raise ValueError("names nothing to change; give sentiment, risk_level, risk_types or evidence")
        return self


class Withdrawal(BaseModel):
    """Why a correction is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


def _verdict_missing(doc_id: str, company_id: int) -> Problem:
    return not_found(f"a verdict on company {company_id} in document {doc_id}")


@router.get(
    "/documents/{doc_id}/verdicts/{company_id}",
    operation_id="read_verdict",
    summary="The verdict on one company, with its ETag",
    responses={304: {"description": "The reader has this state already (`If-None-Match`)"}},
)
async def verdict(
    request: Request, response: Response, doc_id: DocId, company_id: CompanyPath, caller: Viewer
) -> CompanyVerdict:
    """As the team sees it: with its last correction, if an analyst has made one."""
    async with gateway_of(request).reading.connect() as connection:
        found = await verdict_of(connection, caller.team_id, doc_id, company_id)
    if found is None:
        raise _verdict_missing(doc_id, company_id)
    response.headers["ETag"] = etag(found)
    if not_modified(request, response.headers["ETag"]):
        return Response(status_code=304, headers=dict(response.headers))  # type: ignore[return-value]
    return found


async def _change(
    request: Request,
    response: Response,
    caller: Caller,
    place: tuple[str, int],
    change: ChangedVerdict | Withdrawal,
) -> CompanyVerdict:
    changed = await change_verdict(
        gateway_of(request), caller, place, change, lambda shown: demand_match(request, shown)
    )
    response.headers["ETag"] = etag(changed)
    return changed


async def change_verdict(
    gateway: Gateway,
    caller: Caller,
    place: tuple[str, int],
    change: ChangedVerdict | Withdrawal,
    check: Callable[[str], None],
) -> CompanyVerdict:
    """Store a correction, or take it back, with its line in the audit log; returns what is shown from now on.

    `place` is (doc_id, company_id). `check` gets the entity tag of the verdict shown until now, and raises when the change was
    made from another. Problem 404, 409, 422.
    """
    doc_id, company_id = place
    async with gateway.database.begin() as connection:
        shown = await verdict_of(connection, caller.team_id, doc_id, company_id, lock=True)
        if shown is None:
            raise _verdict_missing(doc_id, company_id)
        check(etag(shown))
        new = NewCorrection(shown.sentiment, shown.risk_level, shown.risk_types, shown.evidence, change.reason)
        if isinstance(change, Withdrawal):
            if shown.correction is None:
                raise Problem(409, "not-corrected", "the verdict is the model's own; there is nothing to take back")
            new = replace(new, withdrawn=True)
        else:
            new = replace(new, **change.model_dump(include={"sentiment", "risk_level"}, exclude_none=True))
            if change.risk_types is not None:
                new = replace(new, risk_types=tuple(dict.fromkeys(change.risk_types)))
            if change.evidence is not None:
                judged = await judged_text(connection, doc_id, shown.content_hash)
                if judged is None:
                    raise Problem(
                        409, "text-changed", "the text that was judged is no longer kept", "wait for the new verdict"
                    )
                try:
                    quotes = tuple(locate(judged, item.quote, item.start) for item in change.evidence)
                except QuoteMissing as error:
                    raise bad_request("body.evidence", error.message, error.cure) from None
                new = replace(new, evidence=quotes)
        version = await store_correction(connection, caller.team_id, doc_id, shown, new, caller.actor)
        heirs = await hand_down(connection, caller.team_id, doc_id, shown, new, caller.actor)
        action = "verdict.withdraw" if new.withdrawn else "verdict.correct"
        detail = {"version": version, "sentiment": new.sentiment, "risk_level": new.risk_level, "reason": new.reason}
        detail |= {"reprints": len(heirs)} if heirs else {}
        await audit.note(connection, caller.team_id, caller.actor, action, f"verdict:{doc_id}:{company_id}", detail)
        changed = await verdict_of(connection, caller.team_id, doc_id, company_id)
        assert changed is not None
    return changed


@router.patch(
    "/documents/{doc_id}/verdicts/{company_id}",
    operation_id="correct_verdict",
    summary="Correct a verdict",
    responses=EDITS,
)
async def correct(
    request: Request,
    response: Response,
    doc_id: DocId,
    company_id: CompanyPath,
    change: ChangedVerdict,
    caller: Analyst,
) -> CompanyVerdict:
    """`If-Match` has to carry the verdict's ETag. Lists, the document and trends show the change at once."""
    return await _change(request, response, caller, (doc_id, company_id), change)


@router.post(
    "/documents/{doc_id}/verdicts/{company_id}/withdrawal",
    operation_id="withdraw_correction",
    summary="Take a correction back",
    responses=EDITS,
)
async def withdraw(
    request: Request,
    response: Response,
    doc_id: DocId,
    company_id: CompanyPath,
    withdrawal: Withdrawal,
    caller: Analyst,
) -> CompanyVerdict:
    """The model's own verdict is shown again; all versions stay in the history. `If-Match` as for a correction."""
    return await _change(request, response, caller, (doc_id, company_id), withdrawal)


@router.get(
    "/documents/{doc_id}/verdicts/{company_id}/history",
    operation_id="read_verdict_history",
    summary="All corrections of a verdict",
)
async def versions(request: Request, doc_id: DocId, company_id: CompanyPath, caller: Viewer) -> list[CorrectionVersion]:
    """The first first; `replaced` is what was shown before, with the model's lineage. 404 when it was never judged."""
    async with gateway_of(request).reading.connect() as connection:
        found = await history(connection, caller.team_id, doc_id, company_id)
        if not found and await verdict_of(connection, caller.team_id, doc_id, company_id) is None:
            raise _verdict_missing(doc_id, company_id)
    return list(found)


@router.get(
    "/corrections",
    operation_id="export_corrections",
    summary="The team's corrections as training data (JSON lines)",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export(
    request: Request, caller: Analyst, since: Annotated[Since, Query(description="corrected at or after")] = None
) -> Response:
    """One example a line: the text that was judged, what the analyst says, and what was shown before. 503 as for documents."""
    gateway = gateway_of(request)
    refuse_when_busy(gateway)
    start: datetime | None = moment(request, "since", since)
    async with gateway.database.begin() as connection:
        detail = {"since": start.isoformat() if start else None}
        await audit.note(connection, caller.team_id, caller.actor, "corrections.export", "corrections", detail)

    async def lines() -> AsyncGenerator[bytes, None]:
        async with gateway.exports, gateway.database.connect() as connection:
            async for example in training_examples(connection, caller.team_id, start):
                yield json.dumps(example, ensure_ascii=False, default=str).encode() + b"\n"

    return ExportResponse(lines(), gateway.settings.gateway.export_s, media_type="application/x-ndjson")
