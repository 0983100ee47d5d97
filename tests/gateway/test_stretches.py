"""Stretches of time cover all of the past, once, and the database marks documents as they ask for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from gateway.queries.stretches import marks_of, stretches

MOMENTS = st.datetimes(datetime(1890, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_each_moment_lies_in_one_stretch(one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    places = []
    for number, stretch in enumerate(stretches(later)):
        marked = bool(set(stretch.marks) & set(marks_of(earlier)))
        assert len(set(stretch.marks)) == len(stretch.marks) <= 9
        if marked if stretch.marks else stretch.until is None or earlier < stretch.until:
            places.append(number)
            assert earlier >= stretch.since
    assert len(places) == 1
    if later - earlier < timedelta(days=8):
        assert places == [0] or earlier.year < 1900


@pytest.mark.service
def test_the_database_marks_as_we_do(database: Engine) -> None:
    moments = [
        datetime(1890, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ]
    moments += [datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)]
    with database.connect() as connection:
        for moment in moments:
            made = text("SELECT tsvector_to_array(search_in_time('召回'::tsvector, :moment))")
            lexemes = connection.execute(made, {"moment": moment}).scalar_one()
            assert set(lexemes) == {"召回", *marks_of(moment)}
