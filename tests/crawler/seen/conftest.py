"""Segments and batches at given times, and a site with and without a revisit policy."""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import pytest
from ulid import ULID

from crawler.canonical import url_hash
from crawler.seen import SeenUrls, pack
from yuqing.contracts import RawDocument
from yuqing.objects import ObjectStore
from yuqing.sites import Revisit, Site

DAY, HOUR = 86_400.0, 3600.0


def a_site(revisit: Revisit | None = None) -> Site:
    return Site(
        name="one",
        title="一",
        start_urls=("http://example.cn/",),
        articles=("http://example.cn/",),
        revisit=revisit,
    )


def document(url: str, canonical: str = "", kind: str = "page") -> bytes:
    record = RawDocument(
        url=url, canonical_url=canonical or url, site="one", spider="site", kind=kind,
        fetched_at=datetime.now(UTC), http_status=200, body="x", run_id="r",
    )  # fmt: skip
    return record.model_dump_json().encode() + b"\n"


def page(number: int) -> int:
    """The hash of one of the pages that History.batch() puts into its batches."""
    return url_hash(f"http://example.cn/{number}")


@dataclass
class History:
    """What earlier runs left on S3."""

    store: ObjectStore

    def name(self, age_s: float) -> str:
        """<Y>/<M>/<D>/<ulid> of a batch that is so old."""
        moment = time() - age_s
        return f"{datetime.fromtimestamp(moment, UTC):%Y/%m/%d}/{ULID.from_timestamp(moment)}"

    def batch(self, age_s: float, numbers: Iterable[int], *, segment: bool = True, extra: Iterable[int] = ()) -> str:
        """A batch with pages, and its segment, which may settle more than the pages; the segment's key."""
        name, numbers = self.name(age_s), list(numbers)
        lines = b"".join(document(f"http://example.cn/{number}") for number in numbers)
        self.store.put(f"raw/one/{name}.jsonl.gz", gzip.compress(lines))
        key = f"seen/one/{name}.u64"
        if segment:
            self.store.put(key, pack([*map(page, numbers), *extra]))
        return key

    def segments(self) -> list[str]:
        return [item.key for item in self.store.list("seen/one/")]


@pytest.fixture
def history(store: ObjectStore) -> History:
    store.ensure_bucket()
    return History(store)


def known(seen: SeenUrls, numbers: Iterable[int]) -> set[int]:
    return {number for number in numbers if page(number) in seen}


def due(seen: SeenUrls, numbers: Iterable[int]) -> set[int]:
    return {number for number in numbers if seen.is_due(page(number))}
