"""/documents/{doc_id}: one document with its proof, and corrections; /media/{sha256}: its recording, for the player."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ValidationError

from gateway import sessions
from gateway.api.companies import CompanyPath
from gateway.api.corrections import ChangedVerdict, Withdrawal, change_verdict
from gateway.api.documents import DocId
from gateway.api.media import Sha256
from gateway.api.transcriptions import STAGE, failure_of
from gateway.auth import Caller, demand
from gateway.etags import etag
from gateway.media import media_response
from gateway.pages import marks
from gateway.pages.overview import SignedIn
from gateway.pages.rendering import language_of, remember_preferences, render
from gateway.pages.strings import translate
from gateway.problems import Problem, bad_request, not_found, reason_of
from gateway.queries.reading import read_document
from gateway.queries.transcriptions import Status, progress_of
from gateway.resources import Gateway, gateway_of
from yuqing.contracts import RISK_TYPES

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

# The reprints that stand beside the text; the family's own page has all.
GROUP_BESIDE = 6


def _back(request: Request) -> str:
    """The list that the reader came from, with its filters."""
    try:
        came_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # "http://[" is no address
        return "/"
    if came_from.netloc != request.headers.get("host"):
        return "/"
    if came_from.path in ("/", "/search") or came_from.path.startswith("/companies/"):
        return f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path
    return "/"


@dataclass(frozen=True)
class Unheard:
    """Why a recording has no transcript: how far it is, what the worker said of one that failed, and where that is kept."""

    status: Status
    reason: str | None = None
    kept: str | None = None


def plain(reason: str, sha256: str) -> str:
    """The worker's reason with "the file" in place of the file's name, which is its hash with or without folder and suffix."""
    return re.sub(rf"\S*{sha256}[^\s:]*", "the file", reason)  # a colon after the name is the sentence's


async def _unheard(gateway: Gateway, waiting: Mapping[str, tuple[Status, datetime]]) -> dict[str, Unheard]:
    async def one(sha256: str, status: Status, came: datetime) -> Unheard:
        reason = await asyncio.to_thread(failure_of, gateway, sha256, came) if status == "failed" else None
        if reason is None:
            return Unheard(status)
        return Unheard(
            status, plain(reason, sha256), f"/operations/quarantine/{STAGE}/{came.astimezone(UTC):%Y-%m-%d}/{sha256}"
        )

    found = await asyncio.gather(*(one(sha256, *state) for sha256, state in waiting.items()))
    return dict(zip(waiting, found, strict=True))


@router.get("/documents/{doc_id}")
async def document(request: Request, doc_id: DocId, caller: SignedIn) -> Response:
    """The text with mentions and evidence marked, beside the verdicts."""
    async with gateway_of(request).reading.connect() as connection:
        found = await read_document(connection, caller.team_id, doc_id)
        if found is None:
            raise not_found(f"document {doc_id}")
        silent = [each.sha256 for each in found.recordings if each.duration_s is None]
        waiting = await progress_of(connection, silent) if silent else {}
    text_marks = marks.text_marks(found)
    judged = {verdict.company_id for verdict in found.verdicts}
    unjudged = {span.company_id: span.company for span in found.mentions if span.company_id not in judged}
    return render(
        request,
        "document.html",
        caller=caller,
        document=found,
        text_marks=text_marks,
        title=marks.marked(found.title, marks.title_marks(found)),
        paragraphs=list(marks.paragraphs(found.text, text_marks)),
        unjudged=unjudged,
        companies={verdict.company_id: verdict.company for verdict in found.verdicts} | unjudged,
        states={verdict.company_id: etag(verdict) for verdict in found.verdicts},
        risk_types=RISK_TYPES,
        group=found.group[:GROUP_BESIDE],
        back=_back(request),
        marked_sentiments={mark.sentiment for mark in text_marks},
        anchors={mark.anchor for mark in text_marks},
        unheard=await _unheard(gateway_of(request), waiting),
    )


async def _change(
    request: Request, caller: Caller, place: tuple[str, int], csrf: str, state: str, change: dict[str, object]
) -> Response:
    gateway = gateway_of(request)
    sessions.check_form(request, gateway.secret, csrf)
    demand(caller, "analyst")
    kind: type[BaseModel] = ChangedVerdict if "sentiment" in change else Withdrawal
    try:
        wanted = kind.model_validate(change)
    except ValidationError as error:
        first = error.errors()[0]
        raise bad_request(".".join(str(part) for part in first["loc"]), reason_of(first)) from None
    assert isinstance(wanted, ChangedVerdict | Withdrawal)

    def unchanged(shown: str) -> None:
        if state != shown:
            raise Problem(412, "changed-meanwhile", "the verdict has changed since this page was opened")

    await change_verdict(gateway, caller, place, wanted, unchanged)
    return RedirectResponse(f"/documents/{place[0]}#verdict-{place[1]}", status_code=303)


Field = Annotated[str, Form(max_length=3000)]


@router.post("/documents/{doc_id}/verdicts/{company_id}")
async def correct(
    request: Request,
    doc_id: DocId,
    company_id: CompanyPath,
    caller: SignedIn,
    csrf: Field = "",
    state: Field = "",
    sentiment: Field = "",
    risk_level: Annotated[int, Form()] = 0,
    risk_types: Annotated[list[str] | None, Form()] = None,
    quote: Field = "",
    reason: Field = "",
) -> Response:
    """Correct a verdict, and show the document again."""
    change: dict[str, object] = {"sentiment": sentiment, "risk_level": risk_level}
    change["reason"] = reason.strip() or translate(language_of(request), "correct.reason.none")
    change["risk_types"] = list(risk_types or ()) if risk_level else []
    if quote.strip():
        change["evidence"] = [{"quote": quote.replace("\r\n", "\n").strip()}]
    return await _change(request, caller, (doc_id, company_id), csrf, state, change)


@router.post("/documents/{doc_id}/verdicts/{company_id}/withdrawal")
async def withdraw(
    request: Request,
    doc_id: DocId,
    company_id: CompanyPath,
    caller: SignedIn,
    csrf: Field = "",
    state: Field = "",
    reason: Field = "",
) -> Response:
    """Take a correction back, and show the document again."""
    return await _change(request, caller, (doc_id, company_id), csrf, state, {"reason": reason})


@router.api_route("/media/{sha256}", methods=["GET", "HEAD"])
async def media(request: Request, sha256: Sha256, caller: SignedIn) -> Response:
    """The recording, with ranges."""
    return await media_response(request, gateway_of(request), caller.team_id, sha256)
