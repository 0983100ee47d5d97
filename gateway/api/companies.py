"""/v1/companies: the watchlist."""

import unicodedata
from dataclasses import replace
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.api.answers import EDITS, PROBLEMS
from gateway.auth import Caller, key_with
from gateway.etags import demand_tag, etag
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem, bad_request, not_found, reason_of
from gateway.queries.companies import (
    CompanyExists,
    CompanyRules,
    CompanySummary,
    insert_company,
    list_companies,
    rules_of,
    update_company,
)
from gateway.resources import Gateway, gateway_of
from gateway.watching import watch_job
from yuqing.jobs import defer_in_transaction
from yuqing.text.bigrams import query_bigrams
from yuqing.text.normalise import fold, normalise
from yuqing.text.query import QueryError, parse

router = APIRouter(prefix="/v1/companies", tags=["companies"], responses=PROBLEMS, route_class=IdempotentRoute)

# A single character is part of too many words to be a name; the longest registered Chinese company names have about 50.
SHORTEST_NAME, LONGEST_NAME = 2, 60


def _name(value: str) -> str:
    value = " ".join(value.split())
    if any(not character.isprintable() for character in value):
        raise ValueError("holds control characters")
    if not SHORTEST_NAME <= len(value) <= LONGEST_NAME:
        raise ValueError(f"has {len(value)} characters; {SHORTEST_NAME} to {LONGEST_NAME} are allowed")
    if not query_bigrams(value):
        raise ValueError("holds no letter and no digit")
    return value


def _query(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" and character not in "\t\r\n" for character in value):
        raise ValueError("holds control characters")
    try:
        parse(value)
    except QueryError as problem:
        raise ValueError(problem.message) from None
    return value


Name = Annotated[str, AfterValidator(_name)]
CompanyPath = Annotated[int, Path(ge=1, le=2**31 - 1)]


def _plain(name: str) -> str:
    return fold(normalise(name).text)


class NewCompany(BaseModel):
    """A company, brand or person to watch: its names, and the words in which a name means something else."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "苹果公司", "aliases": ["苹果", "iPhone"], "exclude_words": ["苹果树"]}]
        },
    )

    name: Name
    aliases: list[Name] = Field([], max_length=50)
    exclude_words: list[Name] = Field([], max_length=200)
    query: Annotated[str, AfterValidator(_query)] | None = Field(
        None,
        description="which documents are about it: AND OR NOT, quotes, parentheses, NEAR/n, 600???.SH; docs/api.md tells more",
        examples=["苹果 AND (手机 OR 库克) NOT 果农"],
    )

    @model_validator(mode="after")
    def _excludes_something(self) -> Self:
        names = {_plain(name) for name in (self.name, *self.aliases)}
        for word in self.exclude_words:
            if not any(name in _plain(word) for name in names):
                raise ValueError(f"exclude word {word!r} holds none of the names, so it would do nothing")
            if _plain(word) in names:
                raise ValueError(f"exclude word {word!r} is one of the names, which would never be found")
        return self


async def add_company(gateway: Gateway, caller: Caller, company: NewCompany) -> CompanySummary:
    """Add it for the caller's team; documents that exist are matched by a job. Raises Problem 409 for a known name."""
    aliases = tuple(alias for alias in dict.fromkeys(company.aliases) if alias != company.name)
    rules = CompanyRules(company.name, aliases, tuple(dict.fromkeys(company.exclude_words)), company.query, True)
    async with gateway.database.begin() as connection:
        try:
            company_id = await insert_company(connection, caller.team_id, caller.actor, rules)
        except CompanyExists as error:
            raise Problem(409, "company-exists", error.message, error.cure) from None
        await connection.run_sync(defer_in_transaction, [watch_job(company_id)])
        return (await list_companies(connection, caller.team_id, company_id))[0]


@router.get("", operation_id="list_companies", summary="The team's watchlist with the numbers of its documents")
async def companies(request: Request, caller: Annotated[Caller, Depends(key_with("viewer"))]) -> list[CompanySummary]:
    """Those with the most negative documents first."""
    async with gateway_of(request).reading.connect() as connection:
        return list(await list_companies(connection, caller.team_id))


@router.get("/{company_id}", operation_id="read_company", summary="One company")
async def company(
    request: Request,
    response: Response,
    company_id: CompanyPath,
    caller: Annotated[Caller, Depends(key_with("viewer"))],
) -> CompanySummary:
    """404 for another team's. `ETag` names what can be edited of it, not its numbers."""
    async with gateway_of(request).reading.connect() as connection:
        found = await list_companies(connection, caller.team_id, company_id)
    if not found:
        raise not_found(f"company {company_id}")
    response.headers["ETag"] = etag(_rules(found[0]))
    return found[0]


def _rules(company: CompanySummary) -> CompanyRules:
    return CompanyRules(company.name, company.aliases, company.exclude_words, company.query, company.enabled)


class ChangedCompany(BaseModel):
    """What is to be different; what is not named stays. `query: null` takes the query away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"aliases": ["苹果", "iPhone", "AAPL"]}, {"enabled": False}]}
    )

    name: Name | None = None
    aliases: list[Name] | None = Field(None, max_length=50)
    exclude_words: list[Name] | None = Field(None, max_length=200)
    query: Annotated[str, AfterValidator(_query)] | None = None
    enabled: bool | None = Field(
        None, description="a company that is switched off keeps its documents and gets no new ones"
    )


def checked(rules: CompanyRules) -> CompanyRules:
    """The rules as `NewCompany` has them. Problem 422 when they do not go together."""
    try:
        new = NewCompany.model_validate(
            {"name": rules.name, "aliases": rules.aliases, "exclude_words": rules.exclude_words, "query": rules.query}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("body", *first["loc"]))
        raise bad_request(where, reason_of(first)) from None
    aliases = tuple(alias for alias in dict.fromkeys(new.aliases) if alias != new.name)
    return CompanyRules(new.name, aliases, tuple(dict.fromkeys(new.exclude_words)), new.query, rules.enabled)


async def change_company(
    gateway: Gateway, caller: Caller, company_id: int, wanted: ChangedCompany, tag: str | None
) -> tuple[CompanySummary, CompanyRules]:
    """Edit a company that is still as `tag` (If-Match) names it, and match it again by a job. Problem 404, 409, 412, 422, 428."""
    async with gateway.database.begin() as connection:
        found = await rules_of(connection, caller.team_id, company_id, lock=True)
        if company_id not in found:
            raise not_found(f"company {company_id}")
        before = found[company_id]
        demand_tag(tag, etag(before))
        named: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in wanted.model_dump(exclude_unset=True).items()
            if value is not None or name == "query"
        }
        after = checked(replace(before, **named))
        if after != before:
            try:
                await update_company(connection, caller.team_id, caller.actor, company_id, before, after)
            except CompanyExists as error:
                raise Problem(409, "company-exists", error.message, error.cure) from None
            await connection.run_sync(defer_in_transaction, [watch_job(company_id)])
        return (await list_companies(connection, caller.team_id, company_id))[0], after


@router.patch(
    "/{company_id}", operation_id="update_company", summary="Edit a company, or switch it off", responses=EDITS
)
async def change(
    request: Request,
    response: Response,
    company_id: CompanyPath,
    wanted: ChangedCompany,
    caller: Annotated[Caller, Depends(key_with("analyst"))],
) -> CompanySummary:
    """`If-Match` has to carry its ETag. The documents are matched again in the background, within seconds."""
    tag = request.headers.get("if-match")
    changed, after = await change_company(gateway_of(request), caller, company_id, wanted, tag)
    response.headers["ETag"] = etag(after)
    return changed


@router.post("", status_code=201, operation_id="create_company", summary="Watch a company")
async def create(
    request: Request, response: Response, new: NewCompany, caller: Annotated[Caller, Depends(key_with("analyst"))]
) -> CompanySummary:
    """It is matched against the documents that exist in the background, within seconds."""
    created = await add_company(gateway_of(request), caller, new)
    response.headers["Location"] = f"/v1/companies/{created.id}"
    return created
