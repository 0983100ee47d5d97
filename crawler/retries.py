"""What failed and is tried again in later runs: pages, and recordings of pages that are known already."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler.feeds import Entry
from crawler.site_crawler import of
from yuqing.contracts import now
from yuqing.gzip_lines import DamagedObject, gzip_lines
from yuqing.identity import new_ulid
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.telemetry import get_logger

log = get_logger(__name__)

# Entries of one site, about 60 bytes each once packed. A site that fails more often is down or a trap: of what is too
# much, the oldest is left to the lists that may still show it.
_MOST = 20_000
# What was tried without success rests from the second time on: twice as long each time, up to a day. Working values. A
# failure while the host answers otherwise is often one of minutes, and news does not wait: it begins with
# crawler.retry_rest_s. A captcha goes away within an hour, or, as a login, never; thirty days then cost some 35 requests.
_REFUSED_REST = timedelta(hours=1)
_LONGEST_REST = timedelta(days=1)


class Try(Enum):
    """What a run's try says of an address.

    FAILED: an attempt. IN_VAIN: the site did not show it, or we could not keep it: only its age counts. After several
    of either it rests. NOT_MADE: it was not asked for.
    """

    FAILED = auto()
    IN_VAIN = auto()
    NOT_MADE = auto()


@dataclass(frozen=True)
class Failure:
    """An address that could not be had, and what is needed to ask for it again.

    attempts: runs in which it failed while its host answered; refusals: tries in vain since the last of those;
    rests_until: when later runs ask for it again. For a page, `parent` and `entry` are where it was
    announced and what was said of it. For a recording, `page` is the canonical address of the page that names it and
    `batch` the key of the raw batch with that page's record.
    """

    role: Literal["page", "recording"]
    url: str
    reason: str
    first_failed: datetime
    attempts: int = 0
    refusals: int = 0
    rests_until: datetime | None = None
    parent: str | None = None
    found_by: str = ""
    entry: Entry | None = None
    page: str | None = None
    batch: str | None = None


_Key = tuple[str, int | str, str]
_Line = TypeAdapter(Failure)


@dataclass(frozen=True)
class Tried:
    """A recording of a page that is in a batch: `error` is why it must be tried again; None when it is there, or never will be.

    outcome: what the try counts for when there is an error.
    """

    page: str
    url: str
    error: str | None = None
    outcome: Try = Try.FAILED


@dataclass(frozen=True)
class Snapshot:
    """The failures as they are to be stored under `key`, and the objects that are then out of date."""

    key: str
    failures: Sequence[Failure]
    outdated: Sequence[str]

    def write(self, store: ObjectStore) -> None:
        """Put before delete: a kill between the two leaves entries twice, and they are merged when read.

        Raises ObjectStoreError.
        """
        if self.failures:
            lines = b"".join(_Line.dump_json(failure, exclude_none=True) + b"\n" for failure in self.failures)
            store.put(self.key, gzip.compress(lines, compresslevel=6, mtime=0), content_type="application/gzip")
        for key in self.outdated:
            store.delete(key)


@dataclass
class Retries:
    """The failures of one site: those of earlier runs, as this run changes them.

    Each writing is an object of its own, retries/<site>/<ulid>.jsonl.gz, which holds everything and takes the place of
    those that the run began with and of its own last one. Only whole objects that were read are ever deleted, so two
    runs at a time lose nothing to each other.

    address: an address's hash in the site's canonical form; settled: whether a hash needs no request;
    runs, days: after how many attempts, or how long after the first, an address is given up; rest_s: how long an address
    rests at first that has failed twice; 0: nothing rests, whatever earlier runs wrote.
    """

    site: str
    address: Callable[[str], int]
    settled: Callable[[int], bool]
    runs: int = 20
    days: float = 30
    rest_s: float = 600
    _entries: dict[_Key, Failure] = field(default_factory=dict)
    _failed_now: set[_Key] = field(default_factory=set)
    _in_vain_now: set[_Key] = field(default_factory=set)
    _not_made_now: set[_Key] = field(default_factory=set)
    _hosts: set[str] = field(default_factory=set)
    _objects: list[str] = field(default_factory=list)
    changed: bool = False

    def load(self, store: ObjectStore) -> None:
        """Read what earlier runs left; of several entries for one address the newest counts. Raises ObjectStoreAway."""
        for item in store.list(f"retries/{self.site}/"):
            try:
                found = [_Line.validate_json(line) for line in gzip_lines(store.get(item.key))]
            except ObjectMissing:
                continue  # another run has just replaced it by an object that is listed too, or comes
            except (ValidationError, DamagedObject) as problem:
                log.warning("a list of failures cannot be read and is left aside", key=item.key, reason=str(problem))
                continue
            self._objects.append(item.key)
            for failure in found:
                self._merge(failure)

    def due(self) -> list[Failure]:
        """Pages to ask for again, those that failed least often first."""
        return self._due("page")

    def rests(self, address: int) -> bool:
        """Whether the page of this hash has failed before and is not to be asked for yet, whoever announces it."""
        failure = self._entries.get(("page", address, ""))
        return failure is not None and self._rests(failure, now())

    def due_recordings(self) -> list[list[Failure]]:
        """Recordings to ask for again, by the pages that name them."""
        pages: dict[str | None, list[Failure]] = {}
        for failure in self._due("recording"):
            pages.setdefault(failure.page, []).append(failure)
        return list(pages.values())

    def failed(
        self,
        url: str,
        reason: str,
        *,
        outcome: Try = Try.FAILED,
        read: bool = False,
        entry: Entry | None = None,
        parent: str | None = None,
        found_by: str = "",
    ) -> None:
        """A page could not be had; `url` is the address as announced, before any redirect.

        read: it came and was lost before it was in a batch, so that this run takes it for settled.
        """
        if not read and self.settled(self.address(url)):
            return  # a page that is known and was to be read once more
        self._fail(Failure("page", url, reason, now(), parent=parent, found_by=found_by, entry=entry), outcome)

    def recordings(self, batch: str, tried: Iterable[Tried]) -> None:
        """The recordings of the pages that are about to be written to a batch: those with an error are tried again."""
        for one in tried:
            if one.error:
                self._fail(Failure("recording", one.url, one.error, now(), page=one.page, batch=batch), one.outcome)

    def failed_again(self, recording: Failure, reason: str, outcome: Try) -> None:
        """A recording of an earlier run's page could not be had now either."""
        self._fail(replace(recording, reason=reason), outcome)

    def drop(self, failure: Failure) -> None:
        """Forget an entry without the address being settled."""
        self.changed |= self._entries.pop(self._key(failure), None) is not None

    def answered(self, url: str) -> None:
        """Something could be fetched of this host: its failures count as the pages' own."""
        host = _host(url)
        if host not in self._hosts:
            self._hosts.add(host)
            self.changed |= bool(self._failed_now)

    def written(self, settles: Iterable[int], tried: Iterable[Tried]) -> None:
        """A batch is on S3: what it settles, and the recordings that it brings, are no failures any more."""
        keys: list[_Key] = [("page", hash_, "") for hash_ in settles]
        keys += [("recording", one.page, one.url) for one in tried if not one.error]
        for key in keys:
            self.changed |= self._entries.pop(key, None) is not None

    def give_up(self) -> list[Failure]:
        """Take out what has failed often or long enough; call it once, at the end, and settle the pages among it."""
        oldest = now() - timedelta(days=self.days)
        given_up = [
            failure
            for key in (self._failed_now | self._in_vain_now | self._not_made_now) & self._entries.keys()
            if (failure := self._counted(key)).attempts >= self.runs or failure.first_failed <= oldest
        ]
        for failure in given_up:
            self.drop(failure)
        return given_up

    def snapshot(self) -> Snapshot | None:
        """What is to be written now, None when nothing has changed since the last time."""
        if not self.changed:
            return None
        key = f"retries/{self.site}/{new_ulid()}.jsonl.gz"
        failures = sorted(map(self._counted, self._entries), key=lambda failure: failure.first_failed)[-_MOST:]
        outdated, self._objects = self._objects, [key] if failures else []
        self.changed = False
        return Snapshot(key, failures, outdated)

    def _due(self, role: str) -> list[Failure]:
        tried, moment = self._failed_now | self._in_vain_now, now()
        found = [
            failure
            for key, failure in self._entries.items()
            if key[0] == role and key not in tried and not self._rests(failure, moment)
        ]
        return sorted(found, key=lambda failure: (failure.attempts, failure.first_failed))

    def _rests(self, failure: Failure, moment: datetime) -> bool:
        return failure.rests_until is not None and failure.rests_until > moment and self.rest_s > 0

    def _key(self, failure: Failure) -> _Key:
        if failure.role == "page":
            return ("page", self.address(failure.url), "")
        return ("recording", failure.page or "", failure.url)

    def _merge(self, failure: Failure) -> None:
        try:
            key = self._key(failure)
        except ValueError:
            return  # the site's rules have changed: no address of a page any more
        if failure.role == "page" and self.settled(self.address(failure.url)):
            self.changed = True
            return
        before = self._entries.get(key)
        if before:
            attempts, first = max(before.attempts, failure.attempts), min(before.first_failed, failure.first_failed)
            failure = replace(failure, attempts=attempts, first_failed=first)
        self._entries[key] = failure

    def _fail(self, failure: Failure, outcome: Try) -> None:
        key = self._key(failure)
        before = self._entries.get(key)
        if before:
            failure = replace(
                failure,
                first_failed=before.first_failed,
                attempts=before.attempts,
                refusals=before.refusals,
                rests_until=before.rests_until,
                parent=failure.parent or before.parent,
                found_by=failure.found_by or before.found_by,
                entry=failure.entry or before.entry,
            )
        if outcome is Try.FAILED:
            self._failed_now.add(key)
            failure = replace(failure, refusals=0, rests_until=None)
        elif outcome is Try.NOT_MADE:
            self._not_made_now.add(key)
        elif key not in self._in_vain_now:  # once a run
            self._in_vain_now.add(key)
            failure = replace(
                failure, refusals=failure.refusals + 1, rests_until=_rest(_REFUSED_REST, failure.refusals)
            )
        self._entries[key] = failure
        self.changed = True

    def _counted(self, key: _Key) -> Failure:
        """The entry with this run's attempt, which counts only when the host was there."""
        failure = self._entries[key]
        if key in self._failed_now and _host(failure.url) in self._hosts:
            rests_until = _rest(timedelta(seconds=self.rest_s), failure.attempts)
            return replace(failure, attempts=failure.attempts + 1, rests_until=rests_until)
        return failure


def _rest(shortest: timedelta, earlier: int) -> datetime | None:
    """Until when an address rests that was tried in vain so often before, and now again."""
    return now() + min(shortest * 2.0 ** min(earlier - 1, 20), _LONGEST_REST) if earlier else None


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


class RetriesExtension:
    """Tells the failures which hosts were there in this run."""

    def __init__(self, retries: Retries) -> None:
        self.retries = retries

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        extension = cls(of(crawler).retries)
        crawler.signals.connect(extension.downloaded, signals.response_downloaded)
        return extension

    def downloaded(self, response: Response, request: Request) -> None:
        """Any page or recording counts; robots.txt alone does not, since it comes from servers whose site is down."""
        if response.status < 400 and "role" in request.meta:
            self.retries.answered(request.url)
