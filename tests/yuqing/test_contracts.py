"""What the data contracts accept and refuse."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing import contracts
from yuqing.arrow_schemas import ARTICLE
from yuqing.contracts import RawDocument, read_raw_document
from yuqing.errors import ContractError

PAGE = {
    "schema_version": 2,
    "url": "http://example.cn/1",
    "canonical_url": "http://example.cn/1",
    "site": "example",
    "spider": "site",
    "kind": "page",
    "fetched_at": "2026-01-02T03:04:05+08:00",
    "http_status": 200,
    "body": "<p>正文</p>",
    "run_id": "r",
}


def test_a_page_is_read_and_its_time_is_in_utc() -> None:
    page = read_raw_document(json.dumps(PAGE))
    assert page.fetched_at == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert page.fetched_at.tzinfo is UTC


def test_what_is_written_can_be_read() -> None:
    page = read_raw_document(json.dumps(PAGE))
    assert read_raw_document(page.model_dump_json()) == page


def test_the_previous_version_is_read() -> None:
    first = {name: value for name, value in PAGE.items() if name not in ("schema_version", "kind")}
    page = read_raw_document(json.dumps({**first, "media": ["http://example.cn/a.mp3"]}))
    assert page.schema_version == 2
    assert page.kind == "page"
    assert page.media[0].url == "http://example.cn/a.mp3"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 3}, "schema_version 3 is not known"),
        ({"fetched_at": "2026-01-02T03:04:05"}, "fetched_at"),
        ({"http_status": "many"}, "http_status"),
        ({"kind": "tweet"}, "kind"),
        ({"site": "../etc"}, "site"),
        ({"body": None}, "body"),
        ({"bodyy": "x"}, "bodyy"),
    ],
)
def test_a_broken_record_is_refused_by_name(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        read_raw_document(json.dumps({**PAGE, **change}))


@given(st.one_of(st.binary(), st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_whatever_comes_either_reads_or_is_refused(line: bytes | str) -> None:
    with pytest.raises(ContractError):
        read_raw_document(line)


def test_the_arrow_schema_has_the_fields_of_an_article() -> None:
    assert ARTICLE.names == list(contracts.Article.model_fields)
    required = {name for name, field in contracts.Article.model_fields.items() if field.is_required()}
    assert {field.name for field in ARTICLE if not field.nullable} >= required


def test_every_contract_has_a_json_schema() -> None:
    assert set(contracts.json_schemas()) == {"RawDocument", "Article", "Transcript", "DocumentAnalysis", "Verdict"}
    assert RawDocument.model_json_schema()["additionalProperties"] is False
