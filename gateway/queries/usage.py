"""What the analysis of a team's companies has cost: tokens by company and day."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class UsageLine:
    """The verdicts on a company that were made on a UTC day: how many in all, by triage alone, taken over from a reprint's
    original, and the company's share of the tokens (those of a document are shared by its companies).
    """

    day: date
    company_id: int
    company: str
    verdicts: int
    by_triage: int
    inherited: int
    tokens: int


@dataclass(frozen=True)
class Usage:
    """The team's companies since a day, and the tokens that all teams' documents took today beside the day's budget (0: none)."""

    since: date
    items: tuple[UsageLine, ...]
    tokens: int
    today: int
    budget: int


# A verdict's row carries the tokens of its document's calls, which its companies (other teams' too) share; one that was
# inherited cost nothing, and neither did triage's, whose tokens are 0.
_USAGE = text("""
SELECT CAST(v.created_at AT TIME ZONE 'UTC' AS date) AS day, c.id AS company_id, c.name AS company,
    count(*) AS verdicts, count(*) FILTER (WHERE v.engine = 'triage') AS by_triage,
    count(*) FILTER (WHERE v.inherited_from IS NOT NULL) AS inherited,
    COALESCE(round(sum(CASE WHEN v.inherited_from IS NULL AND v.prompt_tokens + v.completion_tokens > 0 THEN
        (v.prompt_tokens + v.completion_tokens)::numeric / (SELECT count(*) FROM verdicts o WHERE o.doc_id = v.doc_id)
    END)), 0) AS tokens
FROM companies c JOIN verdicts v ON v.company_id = c.id
WHERE c.team_id = :team AND v.created_at >= :since AND (CAST(:company AS int) IS NULL OR c.id = :company)
GROUP BY 1, 2, 3 ORDER BY 1 DESC, tokens DESC, 3
""")
_TODAY = text("""
SELECT COALESCE(sum(prompt_tokens + completion_tokens), 0) FROM document_analyses
WHERE created_at >= date_trunc('day', now(), 'UTC')
""")


async def usage(
    connection: AsyncConnection, team_id: int, since: datetime, budget: int, company_id: int | None = None
) -> Usage:
    """The team's usage since the beginning of a UTC day, the newest first. What was analysed again counts on its last day."""
    values = {"team": team_id, "since": since, "company": company_id}
    rows = await connection.execute(_USAGE, values)
    items = tuple(UsageLine(**{**row._mapping, "tokens": int(row.tokens)}) for row in rows)
    today = int((await connection.execute(_TODAY)).scalar_one())
    return Usage(since.date(), items, sum(line.tokens for line in items), today, budget)
