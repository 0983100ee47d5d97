"""The query parameters of lists, the same for the API and the pages. An empty parameter, as forms send it, is none."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator, Field, StringConstraints

from gateway.problems import bad_request
from gateway.queries.cursors import BadCursor, Cursor
from gateway.queries.selection import DocumentFilter, Sort
from gateway.queries.terms import MAXIMUM_QUERY, Terms, parse_terms
from gateway.queries.verdicts import VerdictFilter
from gateway.resources import gateway_of
from yuqing.contracts import CATEGORIES, Kind, Sentiment

MAXIMUM_PAGE = 100


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


_Empty = BeforeValidator(_empty_is_none)
_Site = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]

_CompanyNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Risk = Annotated[int, Field(ge=0, le=4)]
_Words = Annotated[str, Field(max_length=MAXIMUM_QUERY)]
_CursorText = Annotated[str, Field(max_length=200)]
_Length = Annotated[int, Field(ge=1, le=MAXIMUM_PAGE)]

CompanyId = Annotated[_CompanyNumber | None, _Empty, Query(description="documents that mention this company")]
SentimentIs = Annotated[Sentiment | None, _Empty, Query(description="verdicts with this sentiment")]
RiskFrom = Annotated[_Risk | None, _Empty, Query(description="verdicts with at least this risk level")]
SiteIs = Annotated[_Site | None, _Empty, Query(description="documents of this site")]
SourceIs = Annotated[
    Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")] | None,
    _Empty,
    Query(description="documents whose page names this source, in full"),
]
SortBy = Annotated[
    Sort | None,
    _Empty,
    Query(description="time: newest first; risk: the highest first; relevance: of the latest 500 that hold the words"),
]
KindIs = Annotated[Kind | None, _Empty, Query(description="page or transcript")]
CategoryIs = Annotated[
    str | None, _Empty, Query(description="documents of this category", json_schema_extra={"enum": list(CATEGORIES)})
]
Since = Annotated[
    datetime | None,
    _Empty,
    Query(description="published at or after; a time without zone is in the server's time zone"),
]
Until = Annotated[datetime | None, _Empty, Query(description="published before")]
Words = Annotated[_Words | None, _Empty, Query(description="words that must all occur, apart by spaces")]
Collapse = Annotated[bool, Query(description="of each reprint group only the earliest document that fits")]
CursorText = Annotated[_CursorText | None, _Empty, Query(description="next_cursor of the page before")]
Limit = Annotated[_Length | None, _Empty, Query(description="items a page")]


@dataclass(frozen=True)
class Paging:
    """Where a page starts and how long it is."""

    cursor: Cursor | None
    limit: int

    def of(self, wanted: DocumentFilter) -> Self:
        """The page of this list. 422 when the cursor is one of a list that was sorted otherwise."""
        try:
            if self.cursor is not None:
                self.cursor.of_sort(wanted.ranked)
        except BadCursor as error:
            raise bad_request("query.cursor", error.message, error.cure) from None
        return self


def paging(request: Request, cursor: CursorText = None, limit: Limit = None) -> Paging:
    """The cursor and the length of the page. 422 for a cursor that is not ours."""
    try:
        start = Cursor.decode(cursor) if cursor else None
    except BadCursor as error:
        raise bad_request("query.cursor", error.message, error.cure) from None
    return Paging(start, limit or gateway_of(request).settings.gateway.page_size)


async def _paging(request: Request, cursor: CursorText = None, limit: Limit = None) -> Paging:
    # Async like all dependencies here, though they wait for nothing: FastAPI runs others in a thread, which costs more.
    return paging(request, cursor, limit)


def moment(request: Request, name: str, time: datetime | None) -> datetime | None:
    """The time with a zone. At the ends of the calendar an offset would leave it, so they are refused."""
    if time is None:
        return None
    if not 1900 <= time.year <= 2200:
        raise bad_request(f"query.{name}", "the year has to be between 1900 and 2200")
    return time if time.tzinfo else time.replace(tzinfo=gateway_of(request).zone)


def terms_of(words: str | None) -> Terms | None:
    """The search terms of a query parameter. 422 when it holds nothing that can be looked for."""
    if words is None or not words.strip():
        return None
    terms = parse_terms(words)
    if terms is None:
        raise bad_request("query.q", "holds no letter and no digit", "search for a word, such as 质量问题")
    return terms


def check_category(category: str | None) -> None:
    """422 for a category that does not exist."""
    if category is not None and category not in CATEGORIES:
        raise bad_request(
            "query.category", f"there is no category {category!r}", f"the categories are {' '.join(CATEGORIES)}"
        )


async def document_filter(
    request: Request,
    company: CompanyId = None,
    sentiment: SentimentIs = None,
    risk: RiskFrom = None,
    site: SiteIs = None,
    source: SourceIs = None,
    kind: KindIs = None,
    category: CategoryIs = None,
    since: Since = None,
    until: Until = None,
    q: Words = None,
    collapse: Collapse = False,
    sort: SortBy = None,
) -> DocumentFilter:
    """The filter of a list of documents."""
    check_category(category)
    terms = terms_of(q)
    if sort == "relevance" and terms is None:
        raise bad_request("query.sort", "relevance needs words to be relevant to", "give q, or sort by time or risk")
    return DocumentFilter(
        company_id=company,
        sentiment=sentiment,
        risk=risk,
        site=site,
        source=source,
        kind=kind,
        category=category,
        since=moment(request, "since", since),
        until=moment(request, "until", until),
        terms=terms,
        collapse=collapse,
        sort=sort or "time",
    )


async def verdict_filter(
    request: Request,
    sentiment: SentimentIs = None,
    risk: RiskFrom = None,
    since: Since = None,
    until: Until = None,
) -> VerdictFilter:
    """The filter of a company's verdicts."""
    return VerdictFilter(sentiment, risk, moment(request, "since", since), moment(request, "until", until))


@dataclass(frozen=True)
class Period:
    """A stretch of time, from `since` on and before `until`, both with a zone."""

    since: datetime
    until: datetime


def trend_period(request: Request, days: float, since: datetime | None, until: datetime | None) -> Period:
    """The period asked for: up to now, and `days` long unless `since` says otherwise. 422 when it ends before it begins."""
    end = moment(request, "until", until) or datetime.now(gateway_of(request).zone)
    start = moment(request, "since", since) or end - timedelta(days=days)
    if start >= end:
        raise bad_request("query.since", "is not before the end of the period", "give since < until")
    return Period(start, end)


DocumentFilterQuery = Annotated[DocumentFilter, Depends(document_filter)]
VerdictFilterQuery = Annotated[VerdictFilter, Depends(verdict_filter)]
PagingQuery = Annotated[Paging, Depends(_paging)]
