"""Labelled documents: JSON lines of anybody, or a split of INEWS."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm import inews
from llm.analysis.prompts import Company
from llm.inews import DatasetError, LabelledNews
from yuqing.contracts import Sentiment
from yuqing.text.sentences import Span

INEWS = "inews:"
# Far above any article (the longest of INEWS has 32,767 characters); one of a hundred thousand is a book or a broken export.
LONGEST = 100_000


@dataclass(frozen=True)
class LabelledCompany:
    """A company of a document, what it is called there, and the spans of the text that prove its label.

    `risk` (0 to 4) and its types are None and empty where nobody labelled them.
    """

    company: Company
    sentiment: Sentiment
    evidence: tuple[Span, ...]
    risk: int | None = None
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledDocument(LabelledNews):
    """A document with its companies (often none); `part` is train, dev or test where the file tells."""

    id: str = ""
    part: str = "test"
    companies: tuple[LabelledCompany, ...] = ()


class _Quote(BaseModel):
    quote: str = Field(min_length=1)
    start: int = Field(ge=0)


class _Company(BaseModel):
    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    sentiment: Sentiment
    # Numbers of `lines` from 1; quotes of the text, at their first place; or quotes with the character where they start.
    evidence: tuple[int | str | _Quote, ...] = ()
    risk: int | None = Field(None, ge=0, le=4)
    types: tuple[str, ...] = ()


class _Document(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = ""
    part: str = "test"
    title: str = ""
    text: str = ""
    lines: tuple[str, ...] = ()
    sentiment: Sentiment
    companies: tuple[_Company, ...] = ()


def _spans(company: _Company, text: str, lines: Sequence[str]) -> tuple[Span, ...]:
    """Where the company's evidence lies in the text, of quotes without a place the first. Raises ValueError for a number or a
    quote that is not there.
    """
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    found = []
    for each in company.evidence:
        if isinstance(each, int):
            if not 1 <= each <= len(lines):
                raise ValueError(f"evidence of {company.name} is line {each} of {len(lines)}")
            found.append((int(starts[each - 1]), int(starts[each]) - 1))
        elif isinstance(each, _Quote):
            if not text.startswith(each.quote, each.start):
                raise ValueError(f"evidence of {company.name} is not at character {each.start}: {each.quote[:30]!r}")
            found.append((each.start, each.start + len(each.quote)))
        elif each and each in text:
            found.append((text.index(each), text.index(each) + len(each)))
        else:
            raise ValueError(f"evidence of {company.name} is not in the text: {each[:30]!r}")
    return tuple(found)


def reason_of(error: Exception) -> str:
    """What is wrong with a record, in a line: the field and the reason."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc']) or 'the line'}: {problem['msg']}"
    return str(error)


def document_of(record: Any, identity: str) -> LabelledDocument:
    """A labelled document of a JSON object. Raises ValueError (pydantic's among them) naming the field."""
    read = _Document.model_validate(record)
    text = "\n".join(read.lines) if read.lines else read.text
    if not read.title.strip() and not text.strip():
        raise ValueError("the document has neither a title nor a text")
    if len(text) > LONGEST:
        raise ValueError(f"the text has {len(text):,} characters; at most {LONGEST:,}")
    companies = tuple(
        LabelledCompany(
            Company(each.name, each.aliases), each.sentiment, _spans(each, text, read.lines), each.risk, each.types
        )
        for each in read.companies
    )
    return LabelledDocument(read.title, text, read.sentiment, read.id or identity, read.part, companies)


def read_documents(path: Path) -> list[LabelledDocument]:
    """The documents of a JSON-lines file: {"title", "text", "sentiment", "companies"?, "id"?, "part"?} a line.

    `lines` (a list) may stand for `text`; companies are {"name", "aliases"?, "sentiment", "evidence"?, "risk"?,
    "types"?}, whose evidence is numbers of lines, quotes of the text, or {"quote", "start"} for one that occurs several times.

    Raises DatasetError naming the line, or when there is no document.
    """
    try:
        # Not splitlines(): the texts hold line separators of Unicode, which JSON leaves as they are.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path} cannot be read: {reason}", cure="give a file of JSON lines in UTF-8") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(document_of(json.loads(line), str(number)))
        except (ValueError, RecursionError) as error:
            raise DatasetError(
                f"line {number} of {path} is no labelled document: {reason_of(error)}",
                cure='each line is {"title", "text", "sentiment": positive, neutral or negative, "companies"?}',
            ) from None
    if not found:
        raise DatasetError(f"{path} holds no documents")
    return found


def documents_named(name: str) -> list[LabelledDocument]:
    """The documents of a file, or of INEWS's split for `inews:dev`, `inews:test` (and train). Raises DatasetError."""
    if not name.startswith(INEWS):
        return read_documents(Path(name))
    split = name.removeprefix(INEWS)
    known = get_args(inews.Split)
    if split not in known:
        raise DatasetError(
            f"INEWS has no split {split}", cure=f"use one of {', '.join(INEWS + each for each in known)}"
        )
    return [
        LabelledDocument(item.title, item.text, item.sentiment, str(place))
        for place, item in enumerate(inews.load(split))  # type: ignore[arg-type]
    ]


def content_digest(documents: Sequence[LabelledNews]) -> str:
    """sha256 of titles and texts in their order: which documents an answer file answers, and floors are for."""
    content = json.dumps([[document.title, document.text] for document in documents], ensure_ascii=False)
    return _digest(content)


def companies_digest(documents: Sequence[LabelledDocument]) -> str:
    """sha256 of the companies that whole answers are asked about, with the names that the texts use for them."""
    asked = [[[each.company.name, *each.company.aliases] for each in document.companies] for document in documents]
    return _digest(json.dumps(asked, ensure_ascii=False))


def labels_digest(documents: Sequence[LabelledDocument]) -> str:
    """sha256 of what people said of these documents (sentiments, companies' evidence, risk): what floors and comparisons hold
    for, beside the texts.
    """
    said = [
        [
            document.sentiment,
            [
                [each.company.name, each.sentiment, sorted(each.evidence), each.risk, sorted(each.types)]
                for each in document.companies
            ],
        ]
        for document in documents
    ]
    return _digest(json.dumps(said, ensure_ascii=False))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
