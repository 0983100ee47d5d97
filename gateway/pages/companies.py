"""/companies: the watchlist to be edited; /companies/new and /companies/{id}/edit, with what would be found while one types."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from gateway.api.companies import (
    ChangedCompany,
    CompanyPath,
    NewCompany,
    add_company,
    change_company,
)
from gateway.api.watchlist import Preview, preview_of
from gateway.auth import Caller, demand
from gateway.etags import etag
from gateway.pages.operations import OwnForm
from gateway.pages.rendering import remember_preferences, render
from gateway.pages.sign_in import signed_in
from gateway.problems import Problem, not_found, reason_of
from gateway.queries.companies import CompanyRules, list_companies, rules_of
from gateway.resources import gateway_of
from yuqing.text.query import QueryError, parse

router = APIRouter(prefix="/companies", include_in_schema=False, dependencies=[Depends(remember_preferences)])

SignedIn = Annotated[Caller, Depends(signed_in)]


async def analyst(caller: SignedIn) -> Caller:
    """A dependency: the caller of the session, an analyst. Problem 403."""
    demand(caller, "analyst")
    return caller


Analyst = Annotated[Caller, Depends(analyst)]


@dataclass(frozen=True)
class Typed:
    """A company's form as it stands: lists are apart by commas or lines."""

    name: str = ""
    aliases: str = ""
    exclude_words: str = ""
    query: str = ""
    enabled: bool = True
    tag: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The same as the API has it."""
        return {
            "name": self.name,
            "aliases": _listed(self.aliases),
            "exclude_words": _listed(self.exclude_words),
            "query": self.query.strip() or None,
        }


@dataclass(frozen=True)
class Wrong:
    """What is wrong with the form: the field, why, and for a query the place (from 0) where reading it ends."""

    field: str
    reason: str
    place: int | None = None


def _listed(text: str) -> list[str]:
    return [word for part in re.split(r"[,，、;；\n]", text) if (word := part.strip())]


async def typed(
    name: Annotated[str, Form(max_length=1000)] = "",
    aliases: Annotated[str, Form(max_length=5000)] = "",
    exclude_words: Annotated[str, Form(max_length=20_000)] = "",
    query: Annotated[str, Form(max_length=20_000)] = "",
    enabled: Annotated[str, Form(max_length=5)] = "",
    tag: Annotated[str, Form(max_length=100)] = "",
) -> Typed:
    """A dependency: the form."""
    return Typed(name, aliases, exclude_words, query, enabled == "on", tag)


TypedForm = Annotated[Typed, Depends(typed)]


def _of(rules: CompanyRules) -> Typed:
    lists = ("，".join(rules.aliases), "，".join(rules.exclude_words))
    return Typed(rules.name, *lists, rules.query or "", rules.enabled, etag(rules))


def read_form(form: Typed) -> NewCompany | Wrong:
    """The company that the form describes, or the first thing that is wrong with it."""
    if form.query.strip():
        try:
            parse(form.query)
        except QueryError as error:
            return Wrong("query", error.message, error.position)
    try:
        return NewCompany.model_validate(form.values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "exclude_words"
        return Wrong(field, reason_of(first))


@router.get("")
async def listed(request: Request, caller: SignedIn) -> Response:
    """The team's companies by name."""
    async with gateway_of(request).reading.connect() as connection:
        companies = await list_companies(connection, caller.team_id)
    saved = request.query_params.get("saved", "")
    return render(
        request,
        "companies.html",
        caller=caller,
        companies=sorted(companies, key=lambda company: (not company.enabled, company.name)),
        saved=next((company for company in companies if str(company.id) == saved), None),
    )


def _form_page(
    request: Request,
    caller: Caller,
    form: Typed,
    *,
    company_id: int | None = None,
    wrong: Wrong | None = None,
    problem: Problem | None = None,
) -> Response:
    status = 422 if wrong else problem.status if problem else 200
    return render(
        request,
        "company_form.html",
        status=status,
        caller=caller,
        form=form,
        company_id=company_id,
        wrong=wrong,
        problem=problem,
        preview=None,
    )


@router.get("/new")
async def new(request: Request, caller: Analyst, name: str = "") -> Response:
    """An empty form."""
    return _form_page(request, caller, Typed(name=name[:60]))


@router.post("/new", dependencies=[OwnForm])
async def create(request: Request, caller: Analyst, form: TypedForm) -> Response:
    """Watch it; what is wrong with it is shown at its field."""
    company = read_form(form)
    if isinstance(company, Wrong):
        return _form_page(request, caller, form, wrong=company)
    try:
        created = await add_company(gateway_of(request), caller, company)
    except Problem as problem:
        if problem.status != 409:
            raise
        return _form_page(request, caller, form, problem=problem)
    return RedirectResponse(f"/companies?saved={created.id}", status_code=303)


@router.post("/preview", dependencies=[OwnForm])
async def preview(request: Request, caller: Analyst, form: TypedForm) -> Response:
    """A part of the page: what the company would find, or what is wrong with the form so far."""
    company = read_form(form) if form.name.strip() else None
    found: Preview | None = None
    if isinstance(company, NewCompany):
        found = await preview_of(gateway_of(request), company)
    return render(
        request,
        "company_preview.html",
        caller=caller,
        form=form,
        preview=found,
        wrong=company if isinstance(company, Wrong) else None,
    )


@router.get("/{company_id}/edit")
async def edit(request: Request, company_id: CompanyPath, caller: Analyst) -> Response:
    """The form of a company of the team."""
    async with gateway_of(request).reading.connect() as connection:
        found = await rules_of(connection, caller.team_id, company_id)
    if company_id not in found:
        raise not_found(f"company {company_id}")
    return _form_page(request, caller, _of(found[company_id]), company_id=company_id)


@router.post("/{company_id}/edit", dependencies=[OwnForm])
async def change(request: Request, company_id: CompanyPath, caller: Analyst, form: TypedForm) -> Response:
    """Save it, unless somebody else has changed it since it was opened."""
    company = read_form(form)
    if isinstance(company, Wrong):
        return _form_page(request, caller, form, company_id=company_id, wrong=company)
    wanted = ChangedCompany.model_validate({**form.values, "enabled": form.enabled})
    try:
        await change_company(gateway_of(request), caller, company_id, wanted, form.tag)
    except Problem as problem:
        if problem.status not in (409, 412):
            raise
        return _form_page(request, caller, form, company_id=company_id, problem=problem)
    return RedirectResponse(f"/companies?saved={company_id}", status_code=303)
