"""The data contracts between the stages. Stages never import each other: they meet in these records.

Times are timezone-aware and in UTC; offsets count characters (Unicode code points) of the text that they point into.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from yuqing.errors import ContractError

RAW_SCHEMA_VERSION = 2

Sentiment = Literal["positive", "neutral", "negative"]
SENTIMENTS: tuple[Sentiment, ...] = ("positive", "neutral", "negative")
CATEGORIES = ("新闻报道", "公司公告", "财务报告", "分析师报告", "评论", "其他")
RISK_TYPES = ("产品质量", "财务", "法律合规", "劳资", "安全事故", "数据泄露", "高管", "市场竞争", "舆论危机", "其他")
Kind = Literal["page", "feed_entry", "transcript"]

Time = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]


class Record(BaseModel):
    """Frozen; unknown fields are kept out so that a typing error shows at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MediaReference(Record):
    """A recording named by a page: where it was, where it is now, or why it could not be had."""

    url: str
    sha256: str | None = None
    s3_key: str | None = None
    content_type: str | None = None
    bytes: int | None = Field(None, ge=0)
    error: str | None = None


class ImageReference(Record):
    """A picture of an article: its address on the web and what its markup says that it shows. It is not downloaded."""

    url: str
    alt: str = ""


class Word(Record):
    """A word as it was heard (of Chinese: one or a few characters): its seconds, and the model's probability of it."""

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    text: str
    probability: float = Field(ge=0, le=1)


class Segment(Record):
    """A stretch of speech: seconds from the recording's start, and what was said.

    `words` keep what was heard where `text` was corrected; a document under raw/ goes without them.
    """

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    text: str
    words: tuple[Word, ...] = ()


class RawDocument(Record):
    """What the crawler (or the speech worker) brings: one JSON line of a batch under raw/."""

    schema_version: Literal[2] = 2
    url: str = Field(min_length=1)
    canonical_url: str = Field(min_length=1)
    site: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    spider: str
    kind: Kind
    fetched_at: Time
    http_status: int = Field(ge=0, le=999)
    content_type: str = ""
    encoding: str = ""
    body: str
    title: str | None = None
    author: str | None = None
    published_at: Time | None = None
    text_selector: str | None = None
    """CSS or XPath (begins with /) of the elements of `body` with the main text, where the site's file has one."""
    media: tuple[MediaReference, ...] = ()
    segments: tuple[Segment, ...] = ()
    parent_url: str | None = None
    depth: int = Field(0, ge=0)
    run_id: str


def _upgrade_first_version(record: dict[str, Any]) -> dict[str, Any]:
    """Version 1 held pages only, listed media as plain URLs and had no depth, parent or segments."""
    media = [{"url": item} if isinstance(item, str) else item for item in record.get("media", [])]
    return {**record, "schema_version": 2, "kind": record.get("kind", "page"), "media": media}


def read_raw_document(line: str | bytes) -> RawDocument:
    """Parse one line of a batch, of this schema version or the previous one. Raises ContractError naming the field."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"the record is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ContractError(f"the record is a {type(record).__name__}, not an object")
    version = record.get("schema_version", 1)
    if version == 1:
        record = _upgrade_first_version(record)
    elif version != RAW_SCHEMA_VERSION:
        raise ContractError(
            f"schema_version {version!r} is not known (this release reads 1 and {RAW_SCHEMA_VERSION})",
            cure="upgrade yuqing, then replay the quarantined batch",
        )
    try:
        return RawDocument.model_validate(record)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"]) or "record"
        raise ContractError(f"field {name}: {problem['msg']}") from None


class TimedSpan(Record):
    """Characters [start, end) of a transcript's text and the seconds at which they were said."""

    start: int
    end: int
    start_s: float
    end_s: float


class Article(Record):
    """A cleaned document. `text` is what analysts read and what every offset points into."""

    doc_id: str
    content_hash: str
    kind: Kind
    site: str
    url: str
    canonical_url: str
    title: str
    text: str
    published_at: Time | None = None
    fetched_at: Time
    author: str | None = None
    source: str | None = None
    language: str = "zh"
    media: tuple[MediaReference, ...] = ()
    images: tuple[ImageReference, ...] = ()
    """In the order in which they stand in the article."""
    segments: tuple[TimedSpan, ...] = ()
    parent_url: str | None = None
    batch: str
    cleaning_version: str
    masked: int = Field(0, ge=0)
    """Personal data hidden in title, text, author and the images' captions."""


class Mention(Record):
    """One place where a company's name stands: in the title or the text, characters [start, end)."""

    company_id: int
    field: Literal["title", "text"]
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    name: str


class RemovedSegment(Segment):
    """A stretch that the speech model invented, and the rule that took it out."""

    reason: str


class Transcript(Record):
    """What was said in a recording, by which model with which options, and what was taken out as invented."""

    media_sha256: str
    model: str
    options_hash: str
    language: str
    duration_s: float = Field(ge=0)
    text: str
    segments: tuple[Segment, ...] = ()
    removed: tuple[RemovedSegment, ...] = ()


class Lineage(Record):
    """How an analysis came to be: enough to make it again."""

    engine: str
    model: str
    adapter: str | None = None
    prompt_version: str
    cleaning_version: str = ""
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    latency_ms: int = Field(0, ge=0)


class Evidence(Record):
    """A quote copied from the text: characters [start, end) of it; for speech the second at which it was said."""

    quote: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    start_s: float | None = None


class DocumentAnalysis(Record):
    """What the model says of a document as a whole. score = P(positive) - P(negative), in [-1, 1]."""

    doc_id: str
    content_hash: str
    sentiment: Sentiment
    score: float = Field(ge=-1, le=1)
    confidence: float = Field(ge=0, le=1)
    category: str
    summary: str
    keywords: tuple[str, ...] = ()
    lineage: Lineage


class Verdict(Record):
    """What the model says of one company in one document, with proof."""

    doc_id: str
    content_hash: str
    company_id: int
    sentiment: Sentiment
    score: float = Field(ge=-1, le=1)
    confidence: float = Field(ge=0, le=1)
    risk_level: int = Field(ge=0, le=4)
    risk_types: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    grounded: bool
    inherited_from: str | None = None
    lineage: Lineage


def now() -> datetime:
    """The present in UTC, to the second: what fetched_at holds."""
    return datetime.now(UTC).replace(microsecond=0)


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of every contract, by name."""
    kinds: tuple[type[Record], ...] = (RawDocument, Article, Transcript, DocumentAnalysis, Verdict)
    return {kind.__name__: kind.model_json_schema() for kind in kinds}
