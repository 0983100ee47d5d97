"""Retry-After in its two forms."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.middlewares.retry import retry_after

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 05:01:30 GMT", 90.0),
        ("Sun, 22 Nov 2026 05:01:30", 90.0),
        ("Sunday, 22-Nov-26 05:01:30 GMT", 90.0),
        ("Sun, 22 Nov 2026 13:01:30 +0800", 90.0),
        ("Sat, 21 Nov 2026 05:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_it_is_never_negative_and_never_fails(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0
