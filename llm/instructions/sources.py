"""Where labelled documents come from: JSON lines or CSV of a customer, the gateway's export of corrections, or their table."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.evaluation.documents import LabelledDocument, document_of, reason_of
from llm.inews import DatasetError
from llm.triage.model import load as load_triage

INEWS, CORRECTIONS = "inews", "corrections"
SPLITS = ("train", "dev", "test")

# What spreadsheets call these columns and labels.
_COLUMNS = {
    "标题": "title", "正文": "text", "内容": "text", "全文": "text", "content": "text", "body": "text", "label": "sentiment",
    "情感": "sentiment", "情感倾向": "sentiment", "标签": "sentiment", "split": "part", "编号": "id",
}  # fmt: skip
_LABELS = {
    "正面": "positive", "积极": "positive", "正向": "positive", "pos": "positive", "中性": "neutral", "中立": "neutral",
    "neu": "neutral", "负面": "negative", "消极": "negative", "负向": "negative", "neg": "negative",
}  # fmt: skip


@dataclass(frozen=True)
class Dropped:
    """A record that is not used: where it stands, and why."""

    where: str
    reason: str


Found = tuple[list[LabelledDocument], list[Dropped]]


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with our names of its fields and labels, without empty ones."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        key = str(name).strip().lower() if name is not None else ""
        if value not in (None, ""):
            found[_COLUMNS.get(key, key)] = value
    label = str(found.get("sentiment", "")).strip().lower()
    if label:
        found["sentiment"] = _LABELS.get(label, label)
    if isinstance(found.get("companies"), str):
        found["companies"] = json.loads(found["companies"])
    return found


def _documents(records: Iterable[tuple[str, Any]]) -> Found:
    """Documents of (place, record or the error of reading it)."""
    kept, dropped = [], []
    for where, record in records:
        try:
            if isinstance(record, Exception):
                raise record
            if not isinstance(record, Mapping):
                raise ValueError(f"the line is a {type(record).__name__}, not an object")
            plain = _plain(record)
            document = document_of({**plain, "part": plain.get("part", "")}, where)
            if document.part not in ("", *SPLITS):
                raise ValueError(f"part: {document.part!r} is none of {', '.join(SPLITS)}")
            kept.append(document)
        except (ValueError, RecursionError) as error:
            dropped.append(Dropped(where, reason_of(error)))
    return kept, dropped


def _json_lines(data: bytes, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield f"{name}:{number}", json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                yield f"{name}:{number}", ValueError(f"not a line of JSON: {error}")


def _table(data: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")  # what Excel writes on a Chinese Windows
        except UnicodeDecodeError:
            raise DatasetError(f"{path} is neither UTF-8 nor GB 18030", cure="save it as CSV UTF-8") from None
    csv.field_size_limit(10_000_000)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = [_COLUMNS.get(str(name).strip().lower(), str(name).strip().lower()) for name in reader.fieldnames or ()]
    missing = [name for name in ("text", "sentiment") if name not in names]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]}; it has {', '.join(map(str, reader.fieldnames or ())) or 'none'}",
            cure="name the columns title, text and sentiment (or 标题, 正文, 情感) in its first line",
        )
    try:
        for row in reader:
            yield f"{path.name}:{reader.line_num}", row
    except csv.Error as error:
        yield f"{path.name}:{reader.line_num}", ValueError(f"not a line of CSV: {error}")


def read_file(path: Path) -> Found:
    """The documents of a CSV or JSON-lines file, or of the gateway's export of corrections; what cannot be used with the reason.

    Raises DatasetError when the file is not there, is no text, or lacks a column.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    if path.suffix.lower() in (".csv", ".tsv"):
        return _documents(_table(data, path))
    records = list(_json_lines(data, path.name))
    if any(isinstance(record, Mapping) and "company_id" in record for _, record in records):
        return from_corrections(records)
    return _documents(records)


def _placed(quote: Mapping[str, Any], text: str) -> dict[str, Any] | str:
    """A correction's quote at its place; without one that holds for this text, at the first where it stands."""
    start = quote.get("start")
    if isinstance(start, int) and start >= 0 and text.startswith(quote["quote"], start):
        return {"quote": quote["quote"], "start": start}
    return str(quote["quote"])


def from_corrections(records: Iterable[tuple[str, Any]]) -> Found:
    """One document for all corrected companies of a text. They are for training alone: analysts correct companies, so the
    document's own sentiment is what the analysis says of it (`document_sentiment`), or triage where nobody kept it.
    """
    texts: dict[tuple[str, str], dict[str, Any]] = {}
    dropped = []
    for where, record in records:
        try:
            if isinstance(record, Exception):
                raise record
            key = (str(record["doc_id"]), str(record["content_hash"]))
            company = {
                "name": record["company"],
                "sentiment": record["sentiment"],
                "risk": record["risk_level"],
                "types": tuple(record["risk_types"]),
                "evidence": tuple(_placed(quote, record["text"]) for quote in record["evidence"]),
            }
            found = texts.setdefault(key, {"title": record["title"], "text": record["text"], "companies": []})
            found["sentiment"] = record.get("document_sentiment") or found.get("sentiment")
            found["companies"].append(company)
        except (KeyError, TypeError, ValueError) as error:
            missing = f"there is no {error}" if isinstance(error, KeyError) else reason_of(error)
            dropped.append(Dropped(where, f"not a correction: {missing}"))
    triage, whole = load_triage(), []
    for (identity, _), record in texts.items():
        label = record["sentiment"] or triage.label(record["title"], record["text"]).sentiment
        whole.append((identity, {**record, "sentiment": label, "part": "train", "id": identity}))
    kept, refused = _documents(whole)
    return kept, [*dropped, *refused]
