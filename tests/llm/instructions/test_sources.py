"""Files of customers as they come: spreadsheets, broken lines, exports of corrections."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm.inews import DatasetError
from llm.instructions.sources import from_corrections, read_file

CSV = "标题,正文,情感\n滴滴道歉,滴滴今天道歉。,负面\n,格力捐赠一千万元。,积极\n会议,今天开会。,中性\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_spreadsheet_is_read_by_its_columns(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labelled.csv"
    path.write_bytes(CSV.encode(encoding))
    documents, dropped = read_file(path)
    assert [(each.title, each.sentiment) for each in documents] == [
        ("滴滴道歉", "negative"), ("", "positive"), ("会议", "neutral")
    ]  # fmt: skip
    assert documents[0].id == "labelled.csv:2"
    assert dropped == []


def test_a_table_without_labels_names_the_column(tmp_path: Path) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text("标题,正文\n滴滴,道歉\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no column sentiment; it has 标题, 正文"):
        read_file(path)
    path.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(DatasetError, match="neither UTF-8 nor GB 18030"):
        read_file(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_file(tmp_path / "none.jsonl")


def test_what_cannot_be_used_is_told_with_its_line(tmp_path: Path) -> None:
    good = {"title": "滴滴", "text": "滴滴道歉。", "sentiment": "negative", "split": "dev"}
    lines: list[Any] = [
        json.dumps(good, ensure_ascii=False).encode(),
        b'{"title": "cut',
        b"\xff\xfe",
        json.dumps({**good, "text": " ", "title": ""}).encode(),
        json.dumps({**good, "sentiment": ""}).encode(),
        json.dumps({**good, "text": "长" * 100_001}).encode(),
        json.dumps({**good, "split": "holdout"}).encode(),
        b"[1, 2]",
        b"",
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(b"\n".join(lines))
    documents, dropped = read_file(path)
    assert [each.part for each in documents] == ["dev"]
    found = {each.where.rsplit(":", 1)[1]: each.reason for each in dropped}
    for line, reason in {
        "2": "not a line of JSON", "3": "not a line of JSON", "4": "neither a title nor a text", "5": "sentiment",
        "6": "100,001 characters", "7": "'holdout' is none of", "8": "not an object",
    }.items():  # fmt: skip
        assert reason in found.pop(line)
    assert not found


def test_a_texts_corrections_become_one_document_for_training() -> None:
    one = {
        "doc_id": "d", "company_id": 1, "content_hash": "h", "company": "滴滴", "title": "滴滴与美团",
        "text": "滴滴道歉。美团上市。滴滴道歉。", "sentiment": "negative", "risk_level": 3, "risk_types": ["舆论危机"],
        "evidence": [{"quote": "滴滴道歉", "start": 10, "end": 14}, {"quote": "美团上市", "start": 0, "end": 4}],
    }  # fmt: skip
    other = one | {"company_id": 2, "company": "美团", "sentiment": "positive", "risk_level": 0, "risk_types": [],
                   "evidence": [], "document_sentiment": "neutral"}  # fmt: skip
    documents, dropped = from_corrections([("1", one), ("2", other), ("3", {"doc_id": "x"}), ("4", ValueError("cut"))])
    (document,) = documents
    assert (document.part, document.sentiment) == ("train", "neutral")
    didi, meituan = document.companies
    assert (didi.sentiment, didi.risk, didi.types, didi.evidence) == ("negative", 3, ("舆论危机",), ((10, 14), (5, 9)))
    assert (meituan.company.name, meituan.sentiment) == ("美团", "positive")
    assert [each.where for each in dropped] == ["3", "4"]
    # Without what the analysis said of the document, triage says it.
    assert from_corrections([("1", one)])[0][0].sentiment in ("positive", "neutral", "negative")
