"""The watchlist as a CSV file, and a look at what a company would find before it is watched."""

import asyncio
import csv
import io
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import select

from gateway.api.answers import PROBLEMS
from gateway.api.companies import NewCompany, checked
from gateway.auth import Caller, key_with
from gateway.problems import Problem, bad_request
from gateway.queries import audit
from gateway.queries.companies import CompanyExists, CompanyRules, insert_company, rules_of, update_company
from gateway.queries.selection import time_of
from gateway.resources import Gateway, gateway_of
from gateway.tables import CsvWriter, written
from gateway.watching import candidates_of, watch_job
from yuqing.contracts import Mention, now
from yuqing.database.models import Document
from yuqing.jobs import defer_in_transaction
from yuqing.text.matcher import Matcher
from yuqing.watchlist import WatchedCompany, from_database

router = APIRouter(prefix="/v1/companies", tags=["companies"], responses=PROBLEMS)

COLUMNS = ("name", "aliases", "exclude_words", "query", "enabled")
MAXIMUM_ROWS = 1000
PREVIEW_DAYS = 30
# Documents that hold the words and are read for a preview: about a second of matching.
PREVIEW_DOCUMENTS = 2000
SAMPLES = 10
_SEPARATORS = re.compile("[;；\n]")
_TRUE, _FALSE = {"", "true", "1", "yes", "是", "启用"}, {"false", "0", "no", "否", "停用"}


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    created: int
    updated: int
    unchanged: int


@dataclass(frozen=True)
class Sample:
    """A document that matches, with the words that made it match."""

    doc_id: str
    title: str
    site: str
    time: datetime
    words: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """`documents` match of the last `days`; `is_complete` is false when only the latest `read` candidates were looked at."""

    days: int
    read: int
    documents: int
    is_complete: bool
    samples: tuple[Sample, ...]


@router.get(
    "/export",
    operation_id="export_companies",
    summary="The watchlist as CSV",
    response_class=Response,
    responses={200: {"description": "The file", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export(request: Request, caller: Annotated[Caller, Depends(key_with("viewer"))]) -> Response:
    """As `POST /v1/companies/import` reads it; the words of a list are apart by semicolons."""
    gateway = gateway_of(request)
    async with gateway.database.begin() as connection:
        await audit.note(connection, caller.team_id, caller.actor, "companies.export", "companies", {})
        companies = await rules_of(connection, caller.team_id)
    rows = [
        [rules.name, ";".join(rules.aliases), ";".join(rules.exclude_words), rules.query, str(rules.enabled).lower()]
        for rules in companies.values()
    ]
    headers = {"Content-Disposition": 'attachment; filename="companies.csv"'}
    content = b"".join(written(CsvWriter(gateway.zone), COLUMNS, rows))
    return Response(content, media_type=CsvWriter.media_type, headers=headers)


def read_watchlist(content: bytes) -> list[CompanyRules]:
    """The companies of a CSV file in UTF-8, or in GB 18030 as Excel saves it in China. Problem 422: all that is wrong with it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("gb18030", "replace")
    errors: list[dict[str, str]] = []
    found: dict[str, CompanyRules] = {}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        unknown = set(reader.fieldnames or ()) - set(COLUMNS)
        if "name" not in (reader.fieldnames or ()) or unknown:
            raise bad_request(
                "body.1", "the first line has to name the columns", f"name is needed; known are {', '.join(COLUMNS)}"
            )
        for row in reader:
            line = f"body.{reader.line_num}"
            if len(found) + len(errors) == MAXIMUM_ROWS:
                raise bad_request(line, f"more than {MAXIMUM_ROWS} companies", "send them in several files")
            try:
                rules = _company(row)
                if rules.name in found:
                    raise bad_request("name", f"{rules.name!r} stands in the file twice")
                found[rules.name] = rules
            except Problem as problem:
                errors.append({"location": line, "reason": problem.errors[0]["reason"]})
    except csv.Error as error:
        raise bad_request("body", f"is no CSV: {error}") from None
    if errors:
        raise Problem(422, "validation", f"{len(errors)} lines are not valid", "nothing was imported", tuple(errors))
    return list(found.values())


def _company(row: dict[str, str | None]) -> CompanyRules:
    # A spreadsheet's export marks what looks like a formula with an apostrophe; so does ours.
    plain = {name: re.sub("^'(?=[=+@-])", "", (value or "").strip()) for name, value in row.items() if name}
    if None in row:
        raise bad_request("row", "has more fields than the first line names")
    enabled = plain.get("enabled", "").lower()
    if enabled not in _TRUE | _FALSE:
        raise bad_request("enabled", f"is {enabled!r}, not true or false")

    def listed(name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in _SEPARATORS.split(plain.get(name, "")) if word.strip())

    query = plain.get("query") or None
    return checked(
        CompanyRules(plain["name"], listed("aliases"), listed("exclude_words"), query, enabled not in _FALSE)
    )


@router.post(
    "/import",
    operation_id="import_companies",
    summary="Add and change companies by a CSV file",
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def upload(request: Request, caller: Annotated[Caller, Depends(key_with("analyst"))]) -> Imported:
    """A company of a name that is watched is changed, others are added, none is removed. All lines or none."""
    wanted = await asyncio.to_thread(read_watchlist, await request.body())
    changed: list[int] = []
    created = 0
    async with gateway_of(request).database.begin() as connection:
        known = {
            rules.name: (key, rules) for key, rules in (await rules_of(connection, caller.team_id, lock=True)).items()
        }
        for rules in wanted:
            company_id, before = known.get(rules.name, (None, None))
            if company_id is None or before is None:
                try:
                    changed.append(await insert_company(connection, caller.team_id, caller.actor, rules))
                except CompanyExists as error:  # added by somebody else at this moment
                    raise Problem(409, "company-exists", error.message, "send the file again") from None
                created += 1
            elif rules != before:
                await update_company(connection, caller.team_id, caller.actor, company_id, before, rules)
                changed.append(company_id)
        await connection.run_sync(defer_in_transaction, [watch_job(company_id) for company_id in changed])
    return Imported(created, len(changed) - created, len(wanted) - len(changed))


async def preview_of(gateway: Gateway, company: NewCompany) -> Preview:
    """What the company would find in the last 30 days; nothing is stored."""
    # 0 is no company's id.
    watched = WatchedCompany(id=0, **company.model_dump())
    async with gateway.reading.connect() as connection:
        others = [other for other in await connection.run_sync(from_database) if other.name != company.name]
        since = now() - timedelta(days=PREVIEW_DAYS)
        doc_ids = await connection.run_sync(candidates_of, watched, PREVIEW_DOCUMENTS + 1, since)
        statement = (
            select(Document.doc_id, Document.title, Document.site, time_of(Document).label("time"), Document.text)
            .where(Document.doc_id.in_(doc_ids[:PREVIEW_DOCUMENTS]))
            .order_by(time_of(Document).desc(), Document.doc_id)
        )
        rows = (await connection.execute(statement)).all()

    def matched() -> list[tuple[int, list[Mention]]]:
        matcher = Matcher([*others, watched])
        found = ((place, matcher.mentions(row.title, row.text)) for place, row in enumerate(rows))
        own = ((place, [mention for mention in mentions if mention.company_id == 0]) for place, mentions in found)
        return [(place, mentions) for place, mentions in own if mentions]

    hits = await asyncio.to_thread(matched)
    samples = tuple(
        Sample(
            rows[place].doc_id,
            rows[place].title,
            rows[place].site,
            rows[place].time,
            tuple(dict.fromkeys(mention.name for mention in mentions)),
        )
        for place, mentions in hits[:SAMPLES]
    )
    return Preview(PREVIEW_DAYS, len(rows), len(hits), len(doc_ids) <= PREVIEW_DOCUMENTS, samples)


@router.post("/preview", operation_id="preview_company", summary="What a company would find in the last 30 days")
async def preview(
    request: Request, company: NewCompany, caller: Annotated[Caller, Depends(key_with("analyst"))]
) -> Preview:
    """Nothing is stored. An edited company is previewed in the same way; what it finds now is not counted twice."""
    return await preview_of(gateway_of(request), company)
