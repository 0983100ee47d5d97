"""/v1/companies: the watchlist."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem, not_found
from gateway.queries.companies import CompanyExists, CompanySummary, insert_company, list_companies
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
    aliases = [alias for alias in dict.fromkeys(company.aliases) if alias != company.name]
    exclude_words = list(dict.fromkeys(company.exclude_words))
    async with gateway.database.begin() as connection:
        try:
            actor = caller.actor
            company_id = await insert_company(
                connection, caller.team_id, actor, company.name, aliases, exclude_words, company.query
            )
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
    request: Request, company_id: CompanyPath, caller: Annotated[Caller, Depends(key_with("viewer"))]
) -> CompanySummary:
    """404 for another team's."""
    async with gateway_of(request).reading.connect() as connection:
        found = await list_companies(connection, caller.team_id, company_id)
    if not found:
        raise not_found(f"company {company_id}")
    return found[0]


@router.post("", status_code=201, operation_id="create_company", summary="Watch a company")
async def create(
    request: Request, response: Response, new: NewCompany, caller: Annotated[Caller, Depends(key_with("analyst"))]
) -> CompanySummary:
    """It is matched against the documents that exist in the background, within seconds."""
    created = await add_company(gateway_of(request), caller, new)
    response.headers["Location"] = f"/v1/companies/{created.id}"
    return created
