"""/search: the team's documents by words and filters; saved searches; /search/export: all of them as a file."""

from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from gateway import sessions
from gateway.api.export import export as export_documents
from gateway.auth import demand
from gateway.filters import (
    CategoryIs,
    CompanyId,
    CursorText,
    KindIs,
    Limit,
    RiskFrom,
    SentimentIs,
    SiteIs,
    SortBy,
    SourceIs,
    Words,
    check_category,
    paging,
    terms_of,
)
from gateway.pages.overview import SignedIn
from gateway.pages.period import CHOICES, Days, From, To, chosen
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import Problem, bad_request, not_found
from gateway.queries.attention import companies_of
from gateway.queries.documents import list_documents
from gateway.queries.saved import TooManySearches, remove_search, save_search, saved_searches
from gateway.queries.selection import DocumentFilter
from gateway.resources import gateway_of
from gateway.tables import Format
from yuqing.contracts import CATEGORIES

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

LONGEST_NAME = 40  # of a saved search, in a column of 15 em
# In the order in which they are shown.
FILTERS = ("company", "sentiment", "risk", "category", "kind", "source", "site", "days", "from", "to", "reprints")


def page_filter(
    request: Request,
    q: Words = None,
    company: CompanyId = None,
    sentiment: SentimentIs = None,
    risk: RiskFrom = None,
    category: CategoryIs = None,
    kind: KindIs = None,
    source: SourceIs = None,
    site: SiteIs = None,
    days: Days = None,
    first: From = None,
    last: To = None,
    reprints: Annotated[str, Query(max_length=10)] = "",
    sort: SortBy = None,
) -> DocumentFilter:
    """The filter of the page: the API's, but for the period in days of the reader, and reprints left out unless asked for.

    Dates count more than `days`, which the form sends with them; without a first day it is everything up to the last.
    """
    check_category(category)
    terms = terms_of(q)
    period = chosen(request, days, first, last, 30).period if days or first or last else None
    return DocumentFilter(
        company_id=company,
        sentiment=sentiment,
        risk=risk,
        category=category,
        kind=kind,
        source=source,
        site=site,
        since=period.since if period and (first or not last) else None,
        until=period.until if period and (first or last) else None,
        terms=terms,
        collapse=reprints != "all",
        sort="time" if sort is None or (sort == "relevance" and terms is None) else sort,
    )


PageFilter = Annotated[DocumentFilter, Depends(page_filter)]


def filters_on(request: Request) -> list[tuple[str, str]]:
    """(parameter, value) of the filters in the address that count: the last of a name, and dates instead of `days`."""
    given = request.query_params
    dated = given.get("from") or given.get("to")
    return [(name, given[name]) for name in FILTERS if given.get(name) and not (name == "days" and dated)]


@router.get("/search")
async def search(
    request: Request,
    caller: SignedIn,
    wanted: PageFilter,
    cursor: CursorText = None,
    limit: Limit = None,
) -> Response:
    """The form, the filters that are on, and a page of what fits."""
    page = paging(request, cursor, limit).of(wanted)
    async with gateway_of(request).reading.connect() as connection:
        companies = await companies_of(connection, caller.team_id)
        saved = await saved_searches(connection, caller.team_id)
        documents = await list_documents(connection, caller.team_id, wanted, limit=page.limit, cursor=page.cursor)
    held = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "cursor"])
    names = {str(company_id): name for company_id, name, _ in companies}
    return render(
        request,
        "search.html",
        caller=caller,
        companies=sorted(companies, key=lambda company: company[1]),
        names=names,
        documents=documents,
        wanted=wanted,
        period={name: value for name, value in filters_on(request) if name in ("days", "from", "to")},
        words=request.query_params.get("q", ""),
        given=dict(parse_qsl(request.url.query)),
        filters=filters_on(request),
        categories=CATEGORIES,
        choices=CHOICES,
        is_continued=page.cursor is not None,
        export=held,
        saved=saved,
        is_saved=any(search.parameters == held for search in saved),
    )


@router.get("/search/export")
async def export(
    request: Request,
    caller: SignedIn,
    wanted: PageFilter,
    format: Annotated[Format, Query()] = "csv",  # noqa: A002 - the name of the query parameter
) -> Response:
    """The list as a file. Needs the scope analyst; written into the audit log."""
    demand(caller, "analyst")
    return await export_documents(request, caller, wanted, format, False)


@router.post("/search/saved")
async def save(
    request: Request,
    caller: SignedIn,
    csrf: Annotated[str, Form(max_length=200)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    parameters: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Keep the filters under a name for the whole team. Needs the scope analyst."""
    gateway = gateway_of(request)
    sessions.check_form(request, gateway.secret, csrf)
    demand(caller, "analyst")
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise bad_request("body.name", f"has to have 1 to {LONGEST_NAME} characters that can be printed")
    # Only what the page itself knows, written anew: a saved search cannot lead anywhere else.
    known = [(key, value) for key, value in parse_qsl(parameters) if key in ("q", "sort", *FILTERS) and value]
    async with gateway.database.begin() as connection:
        try:
            await save_search(connection, caller.team_id, caller.actor, name, urlencode(known))
        except TooManySearches as error:
            raise Problem(409, "too-many-searches", error.message, error.cure) from None
    return RedirectResponse(f"/search?{urlencode(known)}", status_code=303)


@router.post("/search/saved/{search_id}/removal")
async def remove(
    request: Request,
    caller: SignedIn,
    search_id: Annotated[int, Path(ge=1, le=2**31 - 1)],
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Forget a saved search. Needs the scope analyst."""
    gateway = gateway_of(request)
    sessions.check_form(request, gateway.secret, csrf)
    demand(caller, "analyst")
    async with gateway.database.begin() as connection:
        if not await remove_search(connection, caller.team_id, caller.actor, search_id):
            raise not_found(f"saved search {search_id}")
    return RedirectResponse("/search", status_code=303)
