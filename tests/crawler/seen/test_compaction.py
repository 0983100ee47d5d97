"""Merging segments: nothing is lost, whenever it is killed and whatever works beside it."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from crawler.seen import load, pack
from crawler.seen.compaction import compact
from tests.crawler.seen.conftest import DAY, HOUR, History, a_site, due, known, page
from yuqing.objects import ObjectStore
from yuqing.sites import Revisit, Site

pytestmark = pytest.mark.service
SITE = a_site()
POLICY = a_site(Revisit(after_hours=6, until_days=3))


def test_old_segments_become_one(history: History) -> None:
    ages = (40 * DAY, 9 * DAY, 3 * DAY, 30 * HOUR, 2 * HOUR, 5)
    keys = [history.batch(age, [number, number + 1]) for number, age in enumerate(ages)]
    history.store.put("seen/one/imported/01J00000000000000000000000.u64", pack([page(50)]))
    done = compact(history.store, SITE, grace_hours=24)
    assert (done.segments_before, done.segments_after, done.merged) == (7, 3, 5)
    assert (done.bytes_before, done.bytes_after) == (13 * 8, 10 * 8)
    *young, merged = history.segments()
    assert young == sorted(keys[4:])
    assert history.store.get(merged) == pack(map(page, (0, 1, 2, 3, 4, 50)))
    assert known(load(history.store, SITE), range(60)) == {*range(7), 50}
    again = compact(history.store, SITE, grace_hours=24)
    assert (again.segments_before, again.segments_after, again.merged) == (3, 3, 0)
    assert history.segments() == [*young, merged]
    assert compact(history.store, SITE, grace_hours=0.0001).segments_after == 1
    assert known(load(history.store, SITE), range(60)) == {*range(7), 50}


def test_times_are_kept_while_the_policy_needs_them(history: History) -> None:
    history.batch(9 * DAY, [1])
    history.batch(2.9 * DAY, [2, 3])
    history.batch(2 * DAY, [1, 3, 4])
    history.batch(HOUR, [5])
    compact(history.store, POLICY, grace_hours=24)
    revisit, merged = [key for key in history.segments() if "/merged/" in key]
    assert revisit.endswith(".revisit")
    assert len(history.store.get(revisit)) == 3 * 16
    assert history.store.get(merged) == pack([page(1)])
    assert due(load(history.store, POLICY), range(9)) == {2, 3, 4}
    # The policy looks less far back, then is gone: what it does not need becomes as all others.
    shorter = a_site(Revisit(after_hours=6, until_days=2.5))
    assert due(load(history.store, shorter), range(9)) == {4}
    history.batch(9 * DAY, [6])
    compact(history.store, shorter, grace_hours=24)
    assert [len(history.store.get(key)) for key in history.segments() if "/merged/" in key] == [16, 4 * 8]
    assert known(load(history.store, SITE), range(9)) == {1, 2, 3, 4, 5, 6}
    history.batch(9 * DAY, [7])
    compact(history.store, SITE, grace_hours=24)
    assert [len(history.store.get(key)) for key in history.segments() if "/merged/" in key] == [6 * 8]
    assert known(load(history.store, SITE), range(9)) == {1, 2, 3, 4, 5, 6, 7}


class Dying(ObjectStore):
    """Kills its process after so many changes to the bucket, or in the middle of one more."""

    left = 0

    def _count(self) -> None:
        Dying.left -= 1
        if Dying.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self, *arguments, **options):  # type: ignore[no-untyped-def,override]
        self._count()
        return super().put(*arguments, **options)

    def put_file(self, key: str, path: Path, **options):  # type: ignore[no-untyped-def,override]
        self._count()
        super().put_file(key, path, **options)

    def delete(self, key: str) -> None:
        self._count()
        super().delete(key)


def die(store: ObjectStore, site: Site, changes: int) -> int:
    """Compact in a process that is killed after so many changes; its exit status."""

    def run() -> None:
        Dying.left = changes
        compact(Dying(store.endpoint), site, grace_hours=24)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.parametrize(
    "site", [pytest.param(SITE, id="plain", marks=pytest.mark.slow), pytest.param(POLICY, id="revisit")]
)
def test_killed_at_every_step(history: History, site: Site) -> None:
    changes, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        for prefix in ("raw/", "seen/"):
            for item in history.store.list(prefix):
                history.store.delete(item.key)
        history.batch(20 * DAY, [0])
        history.batch(2.5 * DAY, [1])
        compact(history.store, site, grace_hours=24)  # earlier, with all its steps
        for number, (age, segment) in enumerate([(60, True), (50, False), (30, True), (26, False), (2, True)], 2):
            history.batch(age * HOUR, [number], segment=segment)
        history.store.put("seen/one/imported/01J00000000000000000000000.u64", pack([page(7)]))
        status = die(history.store, site, changes)
        seen = load(history.store, site)
        assert known(seen, range(9)) == set(range(8))
        assert due(seen, range(9)) == ({1, 2, 3, 4, 5} if site.revisit else set())
        compact(history.store, site, grace_hours=24)
        seen = load(history.store, site)
        assert known(seen, range(9)) == set(range(8))
        assert due(seen, range(9)) == ({1, 2, 3, 4, 5} if site.revisit else set())
        assert len(history.segments()) == (3 if site.revisit else 2), "a young one, and what was merged"
        changes += 1
    assert status == 0
    assert changes > 8, "two repairs, what was merged, six deletions at least"


def test_two_compactions_at_the_same_time(history: History) -> None:
    for number in range(6):
        history.batch((3 + number) * DAY, [number])

    class Slow(ObjectStore):
        """Before it writes, another compaction has written and deleted; and a batch has come in between."""

        waited = False

        def put_file(self, key: str, path: Path, **options):  # type: ignore[no-untyped-def,override]
            if not Slow.waited:
                Slow.waited = True
                history.batch(2 * DAY, [7])
                compact(history.store, SITE, grace_hours=24)
            super().put_file(key, path, **options)

    compact(Slow(history.store.endpoint), SITE, grace_hours=24)
    assert len(history.segments()) == 2
    assert known(load(history.store, SITE), range(9)) == {*range(6), 7}
    compact(history.store, SITE, grace_hours=24)
    assert len(history.segments()) == 1
    assert known(load(history.store, SITE), range(9)) == {*range(6), 7}
