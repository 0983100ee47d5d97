"""Times in the reader's zone, and numbers as his language writes them."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.pages.strings import Language

_ZONE = re.compile(r"UTC|(?!posix/|right/)[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(256)
def known_zone(name: str) -> ZoneInfo | None:
    """The IANA time zone of this name; None for anything else, such as a cookie that was tampered with."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


@dataclass(frozen=True)
class Formats:
    """How one reader sees times and numbers."""

    language: Language
    zone: ZoneInfo

    def day(self, time: datetime | date) -> str:
        """A day of this year without the year: 11月5日, 5 Nov."""
        local = time.astimezone(self.zone).date() if isinstance(time, datetime) else time
        this_year = local.year == datetime.now(self.zone).year
        if self.language == "zh":
            return f"{local.month}月{local.day}日" if this_year else f"{local.year}年{local.month}月{local.day}日"
        return f"{local.day} {_MONTHS[local.month - 1]}" + ("" if this_year else f" {local.year}")

    def when(self, time: datetime, *, precise: bool = False) -> str:
        """A time of today as 14:05, of another day with the day; `precise` names the year as well."""
        local = time.astimezone(self.zone)
        if precise:
            return f"{local:%Y-%m-%d %H:%M}"
        today = datetime.now(self.zone).date()
        if local.date() == today:
            return f"{local:%H:%M}"
        if local.date() == today - timedelta(days=1):
            return f"{'昨天' if self.language == 'zh' else 'Yesterday'} {local:%H:%M}"
        return f"{self.day(local)} {local:%H:%M}"

    def number(self, value: float, digits: int = 0) -> str:
        """With separators: 12,860."""
        return f"{value:,.{digits}f}"

    def compact(self, value: float) -> str:
        """At most four digits: 9,870, then 1.3万, 2.4亿 or 12.9K, 2.4M."""
        if abs(value) < 10_000:
            return self.number(value)
        steps = ((1e8, "亿"), (1e4, "万")) if self.language == "zh" else ((1e9, "B"), (1e6, "M"), (1e3, "K"))
        size, unit = next(step for step in steps if abs(value) >= step[0])
        return f"{value / size:.1f}".removesuffix(".0") + unit

    def percent(self, share: float) -> str:
        """A share in [0, 1] in whole percent; what is there but under one percent as <1%."""
        return "<1%" if 0 < share < 0.01 else f"{share * 100:.0f}%"
