"""What failed: kept over runs, merged, given up in the end, and lost to neither kills nor a second crawler."""

import asyncio
import gzip
import itertools
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crawler.batches import BatchWriter
from crawler.feeds import Entry
from crawler.report import CrawlReport
from crawler.retries import Failure, Retries, Tried, Try
from crawler.seen import SeenUrls
from tests.crawler.test_batches import record
from yuqing.contracts import now
from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore, ObjectStoreAway


def number(url: str) -> int:
    return int(url.rsplit("/", 1)[1])


def page(number: int) -> str:
    return f"http://example.cn/{number}"


class Memory:
    """An object store in memory that can be killed: after so many writes nothing more is written."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes_left = 10**9

    def _write(self) -> None:
        if self.writes_left == 0:
            raise ObjectStoreAway("killed")
        self.writes_left -= 1

    def put(self, key: str, data: bytes, **options: Any) -> bool:
        self._write()
        self.objects[key] = data
        return True

    def delete(self, key: str) -> None:
        self._write()
        self.objects.pop(key, None)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]

    def list(self, prefix: str) -> list[ObjectInfo]:
        return [ObjectInfo(key, 0, now()) for key in sorted(self.objects) if key.startswith(prefix)]


def retries(store: Any, settled: Collection[int] = frozenset(), **options: Any) -> Retries:
    found = Retries("one", address=number, settled=settled.__contains__, **options)
    found.load(store)
    return found


def save(one: Retries, store: Any) -> None:
    snapshot = one.snapshot()
    assert snapshot
    snapshot.write(store)


def test_what_is_kept_of_a_failure() -> None:
    store = Memory()
    one = retries(store)
    entry = Entry(page(1), "题", "作者", datetime(2026, 11, 20, 8, tzinfo=UTC))
    one.failed(page(1), "HTTP 503", entry=entry, parent=page(0), found_by="feed")
    one.recordings("raw/one/x.jsonl.gz", [Tried(page(2), page(20), "HTTP 500"), Tried(page(2), page(21))])
    save(one, store)
    assert one.snapshot() is None
    again = retries(store)
    (due,), ((recording,),) = again.due(), again.due_recordings()
    assert (due.url, due.reason, due.entry, due.parent, due.found_by) == (
        page(1), "HTTP 503", entry, page(0), "feed",
    )  # fmt: skip
    assert (recording.url, recording.page, recording.batch) == (page(20), page(2), "raw/one/x.jsonl.gz")
    again.failed(page(1), "HTTP 500")
    assert again.due() == []  # once a run
    save(again, store)
    (due,) = retries(store).due()
    assert (due.reason, due.entry, due.found_by) == ("HTTP 500", entry, "feed")
    assert len(store.objects) == 1


def test_attempts_count_only_when_the_host_was_there() -> None:
    store = Memory()
    for attempts in (0, 0, 1, 2):
        one = retries(store, runs=3)
        one.failed(page(1), "timeout")
        one.failed(page(1), "timeout")  # a second time in the same run
        if attempts:
            one.answered(page(7))
        assert one.give_up() == []
        save(one, store)
        (kept,) = retries(store)._entries.values()
        assert kept.attempts == attempts
    last = retries(store, runs=3)
    last.failed(page(1), "HTTP 503")
    save(last, store)  # with a batch, before anything was fetched
    last.answered(page(7))
    (given_up,) = last.give_up()
    assert (given_up.url, given_up.attempts, given_up.reason) == (page(1), 3, "HTTP 503")
    save(last, store)
    assert store.objects == {}


def test_a_page_whose_host_was_left_alone_is_kept_and_not_counted() -> None:
    store = Memory()
    for _ in range(3):
        one = retries(store, runs=1)
        one.answered(page(7))
        one.failed(page(1), "its circuit is open", outcome=Try.NOT_MADE)
        assert one.give_up() == []
        save(one, store)
    assert [failure.attempts for failure in retries(store).due()] == [0]


def test_what_is_refused_rests_and_is_given_up_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    passed = timedelta(0)
    monkeypatch.setattr("crawler.retries.now", lambda: begin + passed)
    store = Memory()
    asked = []
    for _ in range(6 * 24 * 31):  # a run every ten minutes for a month
        one = retries(store, runs=3, days=30)
        one.answered(page(7))
        if one.due() or not asked:
            asked.append(passed)
            one.failed(page(1), "captcha", outcome=Try.IN_VAIN)
            one.failed(page(1), "captcha", outcome=Try.IN_VAIN)  # a second time in the same run
            assert one.due() == []
            assert bool(one.give_up()) == (passed >= timedelta(days=30))
            save(one, store)
        passed += timedelta(minutes=10)
    hours = [round(moment.total_seconds() / 3600, 1) for moment in asked]
    assert hours[:8] == [0, 0.2, 1.2, 3.2, 7.2, 15.2, 31.2, 55.2]
    assert len(asked) < 40
    assert store.objects == {}


def test_failures_of_a_host_that_answers_are_spread_over_days(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    passed = timedelta(0)
    monkeypatch.setattr("crawler.retries.now", lambda: begin + passed)
    store = Memory()
    asked = []
    given_up: list[Failure] = []
    while not given_up:  # a run every ten minutes, whose lists show the page all the time
        one = retries(store)
        one.answered(page(7))
        assert one.rests(1) == (bool(asked) and not one.due())
        assert not one.rests(2)
        assert retries(store, rest_s=0).rests(1) is False
        if not one.rests(1):
            asked.append(passed)
            one.failed(page(1), "HTTP 503")
            given_up = one.give_up()
            save(one, store)
        passed += timedelta(minutes=10)
    minutes = [round(moment.total_seconds() / 60) for moment in asked]
    assert minutes[:8] == [0, 10, 20, 40, 80, 160, 320, 640]
    assert (len(asked), asked[-1].days) == (20, 11)
    assert max(later - earlier for earlier, later in itertools.pairwise(asked)) == timedelta(days=1)


def test_what_earlier_versions_wrote_is_due_at_once() -> None:
    store = Memory()
    line = f'{{"role":"page","url":"{page(1)}","reason":"HTTP 503","first_failed":"{now().isoformat()}","attempts":7}}'
    store.objects["retries/one/0.jsonl.gz"] = gzip.compress(line.encode())
    one = retries(store)
    assert [failure.attempts for failure in one.due()] == [7]
    assert not one.rests(1)


def test_a_real_failure_ends_the_rest() -> None:
    store = Memory()
    for outcome in (Try.IN_VAIN, Try.IN_VAIN, Try.FAILED):
        one = retries(store)
        one.answered(page(7))
        one.failed(page(1), "captcha", outcome=outcome)
        save(one, store)
        assert bool(retries(store).due()) == (outcome is Try.FAILED or not one._entries[("page", 1, "")].rests_until)
    (due,) = retries(store).due()
    assert (due.attempts, due.refusals, due.rests_until) == (1, 0, None)


def test_what_a_try_for_a_recording_counts_for() -> None:
    store = Memory()
    one = retries(store)
    one.answered(page(0))
    tries = {page(20): Try.NOT_MADE, page(21): Try.IN_VAIN, page(22): Try.FAILED}
    one.recordings("raw/one/x.jsonl.gz", [Tried(page(2), url, "no", outcome) for url, outcome in tries.items()])
    save(one, store)
    again = retries(store)
    again.answered(page(0))
    (due,) = again.due_recordings()
    assert {failure.url: (failure.attempts, failure.refusals) for failure in due} == {
        page(20): (0, 0),
        page(21): (0, 1),
        page(22): (1, 0),
    }
    for failure in due:
        again.failed_again(failure, "no", tries[failure.url])
    save(again, store)
    kept = {failure.url: failure.attempts for failure in retries(store)._entries.values()}
    assert kept == {page(20): 0, page(21): 0, page(22): 2}
    ((left,),) = retries(store).due_recordings()
    assert left.url == page(20)


def test_a_host_that_never_comes_back_is_given_up_by_age() -> None:
    store = Memory()
    one = retries(store)
    one.failed(page(1), "timeout")
    save(one, store)
    later = retries(store, days=0)
    assert later.give_up() == []  # not tried in this run
    later.failed(page(1), "timeout")
    assert [failure.attempts for failure in later.give_up()] == [0]


def test_a_known_page_is_no_failure() -> None:
    store = Memory()
    one = retries(store, {2})
    one.failed(page(1), "HTTP 503")
    one.failed(page(2), "HTTP 503")
    save(one, store)
    assert [failure.url for failure in retries(store).due()] == [page(1)]
    settled_since = retries(store, {1})
    assert settled_since.due() == []
    save(settled_since, store)
    assert store.objects == {}


def test_an_object_that_cannot_be_read_is_left_alone() -> None:
    store = Memory()
    store.objects["retries/one/0.jsonl.gz"] = b"no gzip"
    one = retries(store)
    one.failed(page(1), "HTTP 503")
    save(one, store)
    assert len(store.objects) == 2
    assert len(retries(store).due()) == 1


class Runs(RuleBasedStateMachine):
    """Two crawlers of one site at any speed, killed between any two writes: no failure is lost, none is invented."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Memory()
        self.settled: set[int] = set()
        self.failed: set[int] = set()  # that a completed writing has
        self.ever: set[int] = set()
        self.running: dict[int, tuple[Retries, set[int]]] = {}

    @rule(who=st.integers(0, 1))
    def start(self, who: int) -> None:
        self.running[who] = (retries(self.store, set(self.settled), runs=10**6), set())

    @rule(who=st.integers(0, 1), url=st.integers(0, 5))
    def fail(self, who: int, url: int) -> None:
        if who in self.running and url not in self.settled:
            one, mine = self.running[who]
            one.failed(page(url), "HTTP 503")
            mine.add(url)
            self.ever.add(url)

    @rule(who=st.integers(0, 1), url=st.integers(0, 5), writes=st.integers(0, 3))
    def flush(self, who: int, url: int, writes: int) -> None:
        """Write, then settle a page; with few writes left it is killed in between."""
        if who not in self.running:
            return
        one, mine = self.running[who]
        snapshot = one.snapshot()
        self.store.writes_left = writes
        try:
            if snapshot:
                snapshot.write(self.store)
                self.failed |= mine
            self.store.writes_left = 10**9
            self.settled.add(url)
            one.written({url}, ())
        except ObjectStoreAway:
            if snapshot and snapshot.key in self.store.objects:
                self.failed |= mine
            del self.running[who]
        finally:
            self.store.writes_left = 10**9

    @invariant()
    def nothing_is_lost(self) -> None:
        due = {number(failure.url) for failure in retries(self.store, self.settled).due()}
        assert due >= self.failed - self.settled
        assert due <= self.ever - self.settled


TestRuns = Runs.TestCase


@pytest.mark.service
def test_failures_are_written_with_the_batches(store: ObjectStore) -> None:
    store.ensure_bucket()
    settled: set[int] = set()

    def run() -> BatchWriter:
        report = CrawlReport("run", "one", now())
        return BatchWriter(
            store, "one", report, retries(store, settled, runs=2), SeenUrls(), pages=9, seconds=60, size=10**6
        )

    first = run()
    first.retries.answered(page(0))
    first.retries.failed(page(1), "HTTP 503")
    first.retries.failed(page(2), "HTTP 503")
    tried = [Tried(page(3), page(30), "HTTP 500"), Tried(page(3), page(31), None)]
    first.add(record(3), {3}, recordings=tried)
    asyncio.run(first.close())
    (batch,) = [item.key for item in store.list("raw/")]
    second = run()
    assert [(failure.url, failure.attempts) for failure in second.retries.due()] == [(page(1), 1), (page(2), 1)]
    ((recording,),) = second.retries.due_recordings()
    assert recording == Failure("recording", page(30), "HTTP 500", recording.first_failed, 1, page=page(3), batch=batch)
    second.retries.answered(page(0))
    second.add(record(1), {1})
    second.retries.failed(page(2), "HTTP 500")
    second.retries.failed(page(4), "HTTP 502")
    second.add(record(3), {3}, recordings=[Tried(page(3), page(30))], known=True)
    asyncio.run(second.close())
    assert second.report.given_up == [{"url": page(2), "reason": "HTTP 500"}]
    assert second.report.new_articles == 1
    third = run()
    assert [failure.url for failure in third.retries.due()] == [page(4)]
    assert third.retries.due_recordings() == []
    assert third.retries.due()[0].first_failed > now() - timedelta(minutes=5)
    assert len(list(store.list("retries/one/"))) == 1


def test_failures_alone_are_written_when_they_are_old() -> None:
    store = Memory()
    batches = BatchWriter(
        store,  # type: ignore[arg-type]
        "one",
        CrawlReport("run", "one", now()),
        retries(store),
        SeenUrls(),
        pages=9,
        seconds=1e-6,
        size=10**6,
    )
    assert not batches.old
    batches.retries.failed(page(1), "HTTP 503")
    assert batches.old
    asyncio.run(batches.flush())
    assert [key.split("/")[0] for key in store.objects] == ["retries"]
    assert not batches.old
