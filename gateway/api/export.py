"""/v1/documents/export: a list of documents as a file, however long."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict, fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import DocumentFilterQuery
from gateway.problems import Problem
from gateway.queries import audit
from gateway.queries.export import ExportRow, export_rows
from gateway.queries.selection import DocumentFilter
from gateway.resources import Gateway, gateway_of
from gateway.tables import CsvWriter, Format, JsonLinesWriter, XlsxWriter, table_writer

router = APIRouter(prefix="/v1", tags=["documents"], responses=PROBLEMS)

_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILES = {kind.media_type.partition(";")[0]: _FILE for kind in (CsvWriter, XlsxWriter, JsonLinesWriter)}
COLUMNS = tuple(field.name for field in fields(ExportRow))


def _described(wanted: DocumentFilter) -> dict[str, Any]:
    """The filter for the audit log, without what it does not say."""
    plain = asdict(wanted) | {"terms": wanted.terms.words if wanted.terms else None}
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in plain.items() if value}


class ExportResponse(StreamingResponse):
    """A file that has to be taken within `seconds`; then the connection is closed before its end (TimeoutError)."""

    def __init__(self, content: AsyncGenerator[bytes, None], seconds: float, **more: Any) -> None:
        super().__init__(content, **more)
        self._content, self._seconds = content, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, send)
        finally:
            await self._content.aclose()  # gives back its connection and its place now


def refuse_when_busy(gateway: Gateway) -> None:
    """Problem 503 when as many exports as may are being written, of documents and corrections together."""
    if gateway.exports.locked():
        raise Problem(
            503,
            "exports-busy",
            "as many exports as may are being written",
            "try again when one has ended",
            headers={"Retry-After": "30"},
        )


@router.get(
    "/documents/export",
    operation_id="export_documents",
    summary="The list of documents as CSV, XLSX or JSON lines",
    response_class=StreamingResponse,
    responses={200: {"description": "The file", "content": _FILES}},
)
async def export(
    request: Request,
    caller: Annotated[Caller, Depends(key_with("analyst"))],
    wanted: DocumentFilterQuery,
    format: Annotated[Format, Query(description="csv, xlsx or jsonl")] = "csv",  # noqa: A002 - the parameter's name
    text: Annotated[bool, Query(description="also the documents' text")] = False,
) -> Response:
    """A row for each company in each document that fits, newest first; all filters of the list of documents apply.

    The file is sent while it is read. 503 when the gateway is writing as many as it may.
    """
    gateway = gateway_of(request)
    refuse_when_busy(gateway)
    columns = COLUMNS if text else COLUMNS[:-1]
    async with gateway.database.begin() as connection:
        detail = {"format": format, "text": text, "filter": _described(wanted)}
        await audit.note(connection, caller.team_id, caller.actor, "documents.export", "documents", detail)
    writer = table_writer(format, gateway.zone)

    async def content() -> AsyncGenerator[bytes, None]:
        async with gateway.exports, gateway.database.connect() as connection:
            yield writer.begin(columns)
            async for rows in export_rows(connection, caller.team_id, wanted, with_text=text):
                if part := writer.add(rows if text else [row[:-1] for row in rows]):
                    yield part
            yield writer.end()

    headers = {"Content-Disposition": f'attachment; filename="documents.{format}"'}
    seconds = gateway.settings.gateway.export_s
    return ExportResponse(content(), seconds, media_type=writer.media_type, headers=headers)
