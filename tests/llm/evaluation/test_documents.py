import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.evaluation.documents import LONGEST, content_digest, document_of, documents_named, read_documents
from llm.inews import DatasetError
from yuqing.contracts import SENTIMENTS

ENTITIES = Path(__file__).parents[2] / "data" / "entity_sentiment" / "documents.jsonl"
GOOD = {"title": "滴滴道歉", "text": "滴滴道歉。", "sentiment": "negative"}


def _with(**changes: Any) -> str:
    return json.dumps(GOOD | changes, ensure_ascii=False)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting|EOF|JSON"),
        ("[1]", "dictionary|instance"),
        (_with(sentiment="angry"), "sentiment"),
        (json.dumps({"title": "a", "text": "b"}), "sentiment"),
        (_with(title=" ", text="\n"), "neither a title nor a text"),
        (_with(text="长" * (LONGEST + 1)), "100,001 characters"),
        (_with(companies=[{"name": "滴滴"}]), "companies.0.sentiment"),
        (_with(companies=[{"name": "滴滴", "sentiment": "neutral", "evidence": ["美团"]}]), "not in the text"),
        (_with(companies=[{"name": "滴滴", "sentiment": "neutral", "evidence": [2]}]), "line 2 of 0"),
        (
            _with(companies=[{"name": "滴滴", "sentiment": "neutral", "evidence": [{"quote": "道歉", "start": 1}]}]),
            "not at character 1",
        ),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_broken_line_is_named_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(_with() + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=f"line 2 of .*({reason})"):
        read_documents(path)


def test_an_empty_file_and_one_that_is_not_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, reason in (("empty", "no documents"), ("bytes", "cannot be read"), ("missing", "cannot be read")):
        with pytest.raises(DatasetError, match=reason):
            read_documents(tmp_path / name)
    with pytest.raises(DatasetError, match="no split other"):
        documents_named("inews:other")


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.data())
def test_evidence_is_where_its_line_or_quote_stands(lines: list[str], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(lines)))
    company = {"name": "甲", "sentiment": "neutral"}
    record = {"title": "题", "sentiment": "neutral", "companies": [company | {"evidence": [number]}]}
    by_lines = document_of({**record, "lines": lines}, "1")
    ((start, end),) = by_lines.companies[0].evidence
    assert by_lines.text[start:end] == lines[number - 1]
    company["evidence"] = [lines[number - 1]]  # type: ignore[assignment]
    by_quote = document_of({**record, "companies": [company], "text": by_lines.text}, "1")
    ((start, end),) = by_quote.companies[0].evidence
    assert by_quote.text[start:end] == lines[number - 1]


@given(st.text("甲乙。", min_size=1, max_size=30), st.data())
def test_a_quote_with_its_place_is_there_wherever_else_it_stands(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    placed = {"quote": text[start:end], "start": start}
    company = {"name": "甲", "sentiment": "neutral", "evidence": [placed]}
    record = {"title": "题", "text": text, "sentiment": "neutral", "companies": [company]}
    assert document_of(record, "1").companies[0].evidence == ((start, end),)


def test_documents_are_known_by_their_content() -> None:
    documents = read_documents(ENTITIES)
    assert content_digest(documents) == content_digest(read_documents(ENTITIES))
    assert content_digest(documents) != content_digest(documents[1:])
    assert {document.sentiment for document in documents} <= set(SENTIMENTS)
    assert documents[0].companies[0].company.name in documents[0].text
