"""The watchlist of a team."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries import audit
from yuqing.database.models import Company, CoverageCount
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


_SENTIMENTS = (CoverageCount.positive, CoverageCount.neutral, CoverageCount.negative)
_COUNTED = (
    *(column.key for column in (CoverageCount.documents, *_SENTIMENTS)),
    *(f"risk_{level}" for level in range(5)),
)
_LEVELS = list(enumerate(getattr(CoverageCount, f"risk_{level}") for level in range(5)))


async def list_companies(
    connection: AsyncConnection, team_id: int, company_id: int | None = None
) -> tuple[CompanySummary, ...]:
    """The team's companies (or this one), those with the most negative documents first, then by volume and name."""
    count = CoverageCount
    numbers = (
        select(
            count.company_id,
            *(func.sum(column).label(column.key) for column in (count.documents, *_SENTIMENTS)),
            case(*((func.sum(column) > 0, level) for level, column in reversed(_LEVELS)), else_=0).label(
                "highest_risk"
            ),
        )
        .join(Company, Company.id == count.company_id)
        .where(Company.team_id == team_id, *([] if company_id is None else [Company.id == company_id]))
        .group_by(count.company_id)
        .subquery()
    )
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


@dataclass(frozen=True)
class CompanyRules:
    """What of a company can be edited."""

    name: str
    aliases: tuple[str, ...]
    exclude_words: tuple[str, ...]
    query: str | None
    enabled: bool


async def rules_of(
    connection: AsyncConnection, team_id: int, company_id: int | None = None, *, lock: bool = False
) -> dict[int, CompanyRules]:
    """What the team's companies (or this one) are found by, by id; with `lock` nobody else changes them until the end."""
    names = tuple(CompanyRules.__dataclass_fields__)
    statement = select(Company.id, *(getattr(Company, name) for name in names)).where(Company.team_id == team_id)
    if company_id is not None:
        statement = statement.where(Company.id == company_id)
    if lock:
        # Not against the key-share locks of rows that refer to companies: the merge of the cleaning holds many of them.
        statement = statement.with_for_update(key_share=True)
    rows = await connection.execute(statement.order_by(Company.id))
    return {
        row.id: CompanyRules(row.name, tuple(row.aliases), tuple(row.exclude_words), row.query, row.enabled)
        for row in rows
    }


async def update_company(
    connection: AsyncConnection, team_id: int, actor: str, company_id: int, before: CompanyRules, after: CompanyRules
) -> None:
    """Change a company that the caller has locked, with its line in the audit log. Raises CompanyExists."""
    new: dict[str, Any] = {name: _plain(value) for name, value in asdict(after).items()}
    try:
        async with connection.begin_nested():
            await connection.execute(update(Company).where(Company.id == company_id).values(new))
    except IntegrityError:
        raise CompanyExists(f"the team watches {after.name!r} already", cure="choose another name") from None
    old = asdict(before)
    detail = {name: {"before": old[name], "after": new[name]} for name in new if _plain(old[name]) != new[name]}
    await audit.note(connection, team_id, actor, "company.update", f"company:{company_id}", detail)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


async def insert_company(connection: AsyncConnection, team_id: int, actor: str, rules: CompanyRules) -> int:
    """Add a company and its line in the audit log; returns its id. Raises CompanyExists."""
    values: dict[str, Any] = {name: _plain(value) for name, value in asdict(rules).items()}
    try:
        async with connection.begin_nested():
            new = insert(Company).values(team_id=team_id, **values).returning(Company.id)
            company_id = int((await connection.execute(new)).scalar_one())
    except IntegrityError:
        raise CompanyExists(
            f"the team watches {rules.name!r} already", cure="choose another name, or add aliases to it"
        ) from None
    await audit.note(connection, team_id, actor, "company.create", f"company:{company_id}", values)
    return company_id


FOLD_COUNTS = text(
    """
    WITH gone AS (DELETE FROM coverage_counts RETURNING *)
    INSERT INTO coverage_counts (company_id, {columns})
    SELECT company_id, {sums} FROM gone GROUP BY company_id HAVING {any}
    """.format(
        columns=", ".join(_COUNTED),
        sums=", ".join(f"sum({name})" for name in _COUNTED),
        # A changed verdict moves a document from one column to another: its row counts no document and matters all the same.
        any=" OR ".join(f"sum({name}) <> 0" for name in _COUNTED),
    )
)


async def fold_counts(connection: AsyncConnection) -> None:
    """Make one row of the counts of each company; several gateways may do so at once, and readers see the same sums."""
    await connection.execute(FOLD_COUNTS)
