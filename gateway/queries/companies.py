"""The watchlist of a team."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import AuditEntry, Company, Coverage
from yuqing.errors import YuqingError


class CompanyExists(YuqingError):
    """The team watches a company of this name already."""


@dataclass(frozen=True)
class CompanySummary:
    """A watched company with the numbers of its documents: by sentiment, mentioned in all, highest risk."""

    id: int
    name: str
    aliases: tuple[str, ...]
    exclude_words: tuple[str, ...]
    query: str | None
    enabled: bool
    created_at: datetime
    documents: int
    positive: int
    neutral: int
    negative: int
    highest_risk: int

    @property
    def judged(self) -> int:
        """Documents that the model has judged."""
        return self.positive + self.neutral + self.negative


async def list_companies(
    connection: AsyncConnection, team_id: int, company_id: int | None = None
) -> tuple[CompanySummary, ...]:
    """The team's companies (or this one), those with the most negative documents first, then by volume and name."""
    sentiment = Coverage.sentiment
    covered = (
        select(
            Coverage.company_id,
            func.count().label("documents"),
            func.count().filter(sentiment == "positive").label("positive"),
            func.count().filter(sentiment == "neutral").label("neutral"),
            func.count().filter(sentiment == "negative").label("negative"),
            func.max(Coverage.risk_level).label("highest_risk"),
        )
        .where(Coverage.team_id == team_id)
        .group_by(Coverage.company_id)
    )
    if company_id is not None:
        covered = covered.where(Coverage.company_id == company_id)
    numbers = covered.subquery()
    counts = [numbers.c[name] for name in ("documents", "positive", "neutral", "negative", "highest_risk")]
    statement = (
        select(
            Company.id,
            Company.name,
            Company.aliases,
            Company.exclude_words,
            Company.query,
            Company.enabled,
            Company.created_at,
            *(func.coalesce(count, 0).label(count.name) for count in counts),
        )
        .outerjoin(numbers, numbers.c.company_id == Company.id)
        .where(Company.team_id == team_id)
        .order_by(
            func.coalesce(numbers.c.negative, 0).desc(), func.coalesce(numbers.c.documents, 0).desc(), Company.name
        )
    )
    if company_id is not None:
        statement = statement.where(Company.id == company_id)
    rows = (await connection.execute(statement)).mappings()
    return tuple(
        CompanySummary(**{**row, "aliases": tuple(row["aliases"]), "exclude_words": tuple(row["exclude_words"])})
        for row in rows
    )


async def company_exists(connection: AsyncConnection, team_id: int, company_id: int) -> bool:
    """Whether it is one of the team's."""
    statement = select(Company.id).where(Company.team_id == team_id, Company.id == company_id)
    return (await connection.execute(statement)).first() is not None


async def insert_company(
    connection: AsyncConnection,
    team_id: int,
    actor: str,
    name: str,
    aliases: list[str],
    exclude_words: list[str],
    query: str | None,
) -> int:
    """Add a company and its line in the audit log; returns its id. Raises CompanyExists."""
    try:
        async with connection.begin_nested():
            company_id = (
                await connection.execute(
                    insert(Company)
                    .values(team_id=team_id, name=name, aliases=aliases, exclude_words=exclude_words, query=query)
                    .returning(Company.id)
                )
            ).scalar_one()
    except IntegrityError:
        raise CompanyExists(
            f"the team watches {name!r} already", cure="choose another name, or add aliases to it"
        ) from None
    await connection.execute(
        insert(AuditEntry).values(
            team_id=team_id,
            actor=actor,
            action="company.create",
            subject=f"company:{company_id}",
            detail={"name": name, "aliases": aliases, "exclude_words": exclude_words, "query": query},
        )
    )
    return company_id
