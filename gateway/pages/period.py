"""The period of a page: `days` back from now, or `from` and `to`, days of the reader's calendar that both count."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Query, Request
from pydantic import BeforeValidator, Field

from gateway.filters import Period
from gateway.pages.rendering import zone_of
from gateway.problems import bad_request

# Longer ones are asked for by their dates.
CHOICES = (1, 7, 30, 90)
LONGEST_DAYS = 3660
# As many as a company page shows unless told.
SHOWN_IN_SILENCE = 30

_Empty = BeforeValidator(lambda value: None if value == "" else value)
Days = Annotated[Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None, _Empty, Query()]
From = Annotated[date | None, _Empty, Query(alias="from")]
To = Annotated[date | None, _Empty, Query(alias="to")]


@dataclass(frozen=True)
class Chosen:
    """A period, and how it was asked for: `days` when it is one that ends now, else the first and last day."""

    period: Period
    days: int | None
    first: date
    last: date
    zone: ZoneInfo

    @property
    def calendar_days(self) -> list[date]:
        """Every day that the period touches."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def parameters(self) -> dict[str, str]:
        """As it stands in a link."""
        if self.days is not None:
            return {"days": str(self.days)}
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


@dataclass(frozen=True)
class Silence:
    """Where documents ended: the newest one's time and the days up to it that a link shows, in the reader's calendar.

    `is_young`: of a company whose first document is too late for it to have a normal.
    """

    newest: datetime
    first: date
    last: date
    is_young: bool

    @property
    def days(self) -> int:
        """Whole days since."""
        return (datetime.now(self.newest.tzinfo) - self.newest).days


def silence_since(request: Request, newest: datetime, *, is_young: bool = False) -> Silence:
    """What to offer a reader whose period is empty: SHOWN_IN_SILENCE days up to the newest document."""
    local = newest.astimezone(zone_of(request))
    return Silence(local, local.date() - timedelta(days=SHOWN_IN_SILENCE - 1), local.date(), is_young)


def _begin(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def chosen(request: Request, days: int | None, first: date | None, last: date | None, usual: int) -> Chosen:
    """The period of these parameters, `usual` days without any. 422 when it ends before it begins or is too far away."""
    zone = zone_of(request)
    now = datetime.now(zone)
    if first is None and last is None:
        length = days or usual
        # Whole days but for the shortest, so that the first column of a chart is one.
        since = now - timedelta(days=1) if length == 1 else _begin(now.date() - timedelta(days=length - 1), zone)
        return Chosen(Period(since, now), length, since.date(), now.date(), zone)
    for name, day in (("from", first), ("to", last)):
        # Before anything is counted from them: beyond the ends of the calendar nothing can be.
        if day is not None and not 1900 <= day.year <= 2200:
            raise bad_request(f"query.{name}", "the year has to be between 1900 and 2200")
    last = last or now.date()
    first = first or last - timedelta(days=usual - 1)
    if first > last:
        raise bad_request("query.from", "is after the end of the period", "give from ≤ to")
    if (last - first).days >= LONGEST_DAYS:
        raise bad_request("query.from", f"the period is longer than {LONGEST_DAYS} days", "choose a shorter one")
    return Chosen(Period(_begin(first, zone), _begin(last + timedelta(days=1), zone)), None, first, last, zone)
