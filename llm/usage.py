"""What the analysis costs: tokens a company and day, and the day's budget."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from llm.triage.model import ENGINE
from yuqing.errors import YuqingError

_TODAY = """
SELECT COALESCE(sum(prompt_tokens + completion_tokens), 0) FROM document_analyses
WHERE created_at >= date_trunc('day', now(), 'UTC')
"""
# A verdict's row carries the tokens of its document's calls, which its companies share.
_USAGE = """
SELECT CAST(verdicts.created_at AT TIME ZONE 'UTC' AS date) AS day, companies.name AS company, count(*) AS verdicts,
    count(*) FILTER (WHERE engine = :triage) AS by_triage, count(*) FILTER (WHERE inherited_from IS NOT NULL) AS inherited,
    round(sum((prompt_tokens + completion_tokens)::numeric / judged)) AS tokens
FROM (SELECT verdicts.*, count(*) OVER (PARTITION BY doc_id) AS judged FROM verdicts) AS verdicts
JOIN companies ON companies.id = company_id
WHERE verdicts.created_at >= :since GROUP BY 1, 2 ORDER BY 1, tokens DESC, 2
"""


class BudgetSpent(YuqingError):
    """The day's tokens are used up; what triage does not answer waits for the next UTC day."""


@dataclass(frozen=True)
class Usage:
    """Verdicts on a company made on a UTC day, how many of them without a call, and its share of the tokens."""

    day: str
    company: str
    verdicts: int
    by_triage: int
    inherited: int
    tokens: int

    def as_json(self) -> dict[str, Any]:
        """The fields in order."""
        return asdict(self)


def usage(connection: Connection, days: int) -> list[Usage]:
    """The last so many UTC days, today among them, by day and company. What was analysed again counts on its last day."""
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    rows = connection.execute(text(_USAGE), {"since": since, "triage": ENGINE})
    return [
        Usage(str(row.day), row.company, row.verdicts, row.by_triage, row.inherited, int(row.tokens)) for row in rows
    ]


async def check_budget(connection: AsyncConnection, budget: int) -> None:
    """Raises BudgetSpent when today's analyses have taken `budget` tokens; calls under way are not counted yet. 0: no budget."""
    if not budget:
        return
    spent = int((await connection.execute(text(_TODAY))).scalar_one())
    if spent >= budget:
        raise BudgetSpent(
            f"today's analyses took {spent} tokens, the budget is {budget}",
            cure="the documents wait until the next UTC day; or raise YUQING_LLM__DAILY_TOKENS",
        )


def until_tomorrow(now: datetime) -> int:
    """Seconds until the next UTC day begins."""
    tomorrow = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return int((tomorrow - now).total_seconds()) + 1
