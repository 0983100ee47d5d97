"""Exports: the list as a file."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from gateway.api.export import ExportResponse
from gateway.tables import CsvWriter, XlsxWriter, table_writer, written
from tests.gateway import rows
from tests.gateway.test_documents import company_id
from tests.gateway.test_keys import is_problem

ZONE = ZoneInfo("Asia/Shanghai")
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheets(content: bytes) -> list[list[list[str | None]]]:
    """The cells of a workbook's sheets, as text."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        found = []
        for number in range(1, len(book.findall(f".//{MAIN}sheet")) + 1):
            tree = ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))
            lines = [
                [
                    next((part.text or "" for part in cell.iter() if part.tag in (f"{MAIN}t", f"{MAIN}v")), None)
                    for cell in row
                ]
                for row in tree.iter(f"{MAIN}row")
            ]
            found.append(lines)
        return found


@pytest.mark.service
def test_the_three_formats_hold_the_same(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        title = '=HYPERLINK("http://evil.example","星河汽车") <b>,\n"引号"'
        rows.add_story(connection, rows.Story(title, "星河汽车😀。", hours_ago=0.1))
    answers = {kind: api.get("/v1/documents/export", params={"format": kind}) for kind in ("csv", "xlsx", "jsonl")}
    assert {kind: answer.status_code for kind, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["csv"].headers["content-disposition"] == 'attachment; filename="documents.csv"'
    lines = [json.loads(line) for line in answers["jsonl"].text.splitlines()]
    listed = api.get("/v1/documents", params={"limit": 100}).json()["items"]
    assert len(lines) == sum(len(item["companies"]) for item in listed)
    assert list(dict.fromkeys(line["doc_id"] for line in lines)) == [item["doc_id"] for item in listed]
    assert "text" not in lines[0]
    table = list(csv.DictReader(io.StringIO(answers["csv"].content.decode("utf-8-sig"))))
    assert len(table) == len(lines)
    assert table[0]["title"].startswith("'=HYPERLINK")  # no formula
    assert [(row["doc_id"], row["company"], row["sentiment"]) for row in table] == [
        (line["doc_id"], line["company"], line["sentiment"] or "") for line in lines
    ]
    assert [datetime.fromisoformat(row["time"]) for row in table] == [
        datetime.fromisoformat(line["time"]) for line in lines
    ]
    (sheet,) = sheets(answers["xlsx"].content)
    assert sheet[0] == list(lines[0])
    assert [row[sheet[0].index("title")] for row in sheet[1:]] == [line["title"] for line in lines]
    risks = [row[sheet[0].index("risk_level")] for row in sheet[1:]]
    assert risks == [None if line["risk_level"] is None else str(line["risk_level"]) for line in lines]
    with database.connect() as connection:
        details = connection.execute(text("SELECT detail FROM audit_log WHERE action = 'documents.export'")).scalars()
        assert [detail["format"] for detail in details] == ["csv", "xlsx", "jsonl"]


@pytest.mark.service
def test_an_export_has_the_lists_filters(api: httpx.Client, press: dict[str, str]) -> None:
    bank = company_id(api, "澜山银行")
    wanted = {"format": "jsonl", "company": bank, "sentiment": "neutral", "q": "召回", "collapse": True, "text": True}
    answer = api.get("/v1/documents/export", params=wanted)
    (line,) = [json.loads(line) for line in answer.text.splitlines()]
    assert (line["doc_id"], line["company"], line["sentiment"]) == (press["recall"], "澜山银行", "neutral")
    assert line["keywords"] == "召回、动力电池、快充"
    assert line["text"].startswith("星河汽车今天宣布")
    assert api.get("/v1/documents/export", params={"format": "csv", "site": "nowhere"}).text.count("\n") == 1
    is_problem(api.get("/v1/documents/export", params={"format": "pdf"}), 422, "validation")


def test_a_workbook_goes_on_in_another_sheet() -> None:
    writer = XlsxWriter(ZONE, rows_a_sheet=2)
    content = b"".join(written(writer, ["a", "b"], [[n, f"{n}"] for n in range(5)]))
    assert [len(sheet) for sheet in sheets(content)] == [3, 3, 2]
    assert [sheet[0] for sheet in sheets(content)] == [["a", "b"]] * 3
    assert sheets(b"".join(written(XlsxWriter(ZONE), ["a"], []))) == [[["a"]]]


def test_times_in_a_workbook_are_dates_in_the_zone() -> None:
    noon = datetime(2026, 1, 1, 4, tzinfo=UTC)
    (sheet,) = sheets(b"".join(written(XlsxWriter(ZONE), ["t"], [[noon]])))
    assert sheet[1][0] == "46023.500000"  # 1 January 2026, 12:00 in Shanghai


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_any_text_survives(values: list[list[str]]) -> None:
    content = b"".join(written(CsvWriter(ZONE), ["a", "b"], values)).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(content, newline="")))[1:]
    for row, line in zip(values, read, strict=True):
        for value, cell in zip(row, line, strict=True):
            assert cell.removeprefix("'") == value.encode("utf-8", "replace").decode().removeprefix("'")
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    lines = b"".join(written(table_writer("jsonl", ZONE), ["a", "b"], values)).decode().split("\n")[:-1]
    assert len(lines) == len(values)
    assert len(sheets(b"".join(written(XlsxWriter(ZONE), ["a", "b"], values)))[0]) == len(values) + 1


@pytest.mark.parametrize("version", ["2.0", "2.4"])
def test_who_does_not_read_is_cut_off(version: str) -> None:
    closed = []

    async def content() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    async def forever(*_: object) -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await forever()

    with pytest.raises(TimeoutError):
        asyncio.run(ExportResponse(content(), 0.1)({"type": "http", "asgi": {"spec_version": version}}, forever, send))
    assert closed == [True]
