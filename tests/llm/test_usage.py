from datetime import UTC, datetime, timedelta, timezone

import pytest

from llm.usage import until_tomorrow


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 1, 1, tzinfo=UTC), 86_401),
        (datetime(2026, 1, 1, 7, 59, tzinfo=timezone(timedelta(hours=8))), 61),
    ],
)
def test_a_spent_budget_comes_back_when_the_next_utc_day_has_begun(now: datetime, seconds: int) -> None:
    assert until_tomorrow(now) == seconds
