"""/: the watchlist and the latest documents."""

import re
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from gateway import sessions
from gateway.api.companies import NewCompany, add_company
from gateway.auth import Caller
from gateway.filters import DocumentFilterQuery, Paging, PagingQuery
from gateway.pages.rendering import remember_preferences, render
from gateway.pages.sign_in import signed_in
from gateway.problems import Problem
from gateway.queries.companies import list_companies
from gateway.queries.documents import list_documents
from gateway.queries.selection import DocumentFilter
from gateway.resources import gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

_EVERYTHING = DocumentFilter(collapse=True)

SignedIn = Annotated[Caller, Depends(signed_in)]


async def _page(
    request: Request,
    caller: Caller,
    wanted: DocumentFilter,
    page: Paging,
    *,
    status: int = 200,
    form: dict[str, str] | None = None,
    form_error: str = "",
) -> Response:
    page = page.of(wanted)
    async with gateway_of(request).reading.connect() as connection:
        companies = await list_companies(connection, caller.team_id)
        documents = await list_documents(connection, caller.team_id, wanted, limit=page.limit, cursor=page.cursor)
    return render(
        request,
        "overview.html",
        status=status,
        caller=caller,
        companies=companies,
        chosen=next((company for company in companies if company.id == wanted.company_id), None),
        added=next((company for company in companies if str(company.id) == request.query_params.get("added")), None),
        documents=documents,
        wanted=wanted,
        words=request.query_params.get("q", ""),
        filtered=replace(wanted, collapse=True) != _EVERYTHING,
        is_continued=page.cursor is not None,
        form=form,
        form_error=form_error,
    )


@router.get("/")
async def overview(request: Request, caller: SignedIn, wanted: DocumentFilterQuery, page: PagingQuery) -> Response:
    """The watchlist beside the latest documents, filtered by the address; reprints only when they are asked for."""
    wanted = replace(wanted, collapse=request.query_params.get("reprints") != "all")
    return await _page(request, caller, wanted, page)


def _listed(text: str) -> list[str]:
    return [word for part in re.split(r"[,，、;；\n]", text) if (word := part.strip())]


@router.post("/companies")
async def add(
    request: Request,
    caller: SignedIn,
    csrf: Annotated[str, Form(max_length=200)] = "",
    name: Annotated[str, Form(max_length=1000)] = "",
    aliases: Annotated[str, Form(max_length=5000)] = "",
    exclude_words: Annotated[str, Form(max_length=20000)] = "",
) -> Response:
    """Watch a company; what is wrong with it is shown above the form, which keeps what was typed."""
    gateway = gateway_of(request)
    sessions.check_form(request, gateway.secret, csrf)
    try:
        if not caller.may("analyst"):
            raise Problem(403, "scope", f"the scope {caller.scope} may not add companies")
        new = NewCompany(name=name, aliases=_listed(aliases), exclude_words=_listed(exclude_words))
        created = await add_company(gateway, caller, new)
    except (ValidationError, Problem) as error:
        if isinstance(error, Problem):
            status, reason = error.status, error.detail
        else:
            status, reason = 422, str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        form = {"name": name, "aliases": aliases, "exclude_words": exclude_words}
        page = Paging(None, gateway.settings.gateway.page_size)
        return await _page(request, caller, _EVERYTHING, page, status=status, form=form, form_error=reason)
    return RedirectResponse(f"/?company={created.id}&added={created.id}", status_code=303)
