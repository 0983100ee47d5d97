"""What a site's earlier batches teach a small one, so that a lone page that is fetched again does not get its site's lines back.

The answer depends on nothing but raw/: on the batches of the site that were opened in the day before, but not in the last hour
(docs/adr/0011). Each batch's lines are kept under lines/, hashed, so that its pages are not taken apart once more; what is kept
is a function of the batch, so that whoever needs it first may write it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from ulid import ULID

from cleaning.article import CLEANING_VERSION, draft
from cleaning.repeated import Lines, hashed
from cleaning.s3source import read_lines
from yuqing.contracts import read_raw_document
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.settings import CleaningSettings

KEPT = "lines/"

# A batch is written minutes after it was opened: whatever was opened an hour earlier is there, in every run.
_MARGIN = timedelta(hours=1)
_WINDOW = timedelta(hours=24)

_BATCH = re.compile(r"raw/([^/]+)/\d{4}/\d\d/\d\d/([0-9A-HJKMNP-TV-Z]{26})\.jsonl\.gz")


def remember(store: ObjectStore, batch: str, texts: Sequence[str]) -> None:
    """Keep what a batch's pages teach. A batch whose name tells no time, such as a replay, teaches nobody."""
    if _BATCH.fullmatch(batch):
        _keep(store, batch, [hashed(text) for text in texts])


def earlier_pages(store: ObjectStore, batch: str, wanted: int, settings: CleaningSettings) -> list[Lines]:
    """The pages of the site's batches of the day before this one, the latest batches first, until `wanted` are together.

    The same whichever of these batches were cleaned before. Raises ObjectStoreAway.
    """
    opened = _opened(batch)
    if opened is None or wanted <= 0:
        return []
    found: list[Lines] = []
    for key in _batches_between(store, batch, opened - _MARGIN - _WINDOW, opened - _MARGIN):
        if len(found) >= wanted:
            break
        found += _recall(store, key, settings)
    return found


def _opened(batch: str) -> datetime | None:
    name = _BATCH.fullmatch(batch)
    return ULID.from_str(name[2]).datetime if name else None


def _batches_between(store: ObjectStore, batch: str, since: datetime, until: datetime) -> list[str]:
    """The site's batches that were opened in this time, the latest first."""
    site = batch.split("/")[1]
    # A batch is filed under the day on which it is written: that on which it was opened or, at midnight, the next.
    days = {moment.date() for moment in (since, since + timedelta(days=1), until, until + timedelta(days=1))}
    keys = [item.key for day in days for item in store.list(f"raw/{site}/{day:%Y/%m/%d}/")]
    opened = {key: moment for key in keys if (moment := _opened(key)) and since < moment <= until}
    return sorted(opened, key=lambda key: key.rsplit("/", 1)[-1], reverse=True)


def _recall(store: ObjectStore, batch: str, settings: CleaningSettings) -> list[Lines]:
    try:
        kept = json.loads(gzip.decompress(store.get(_kept_key(batch))))
        return [[(line[0], line[1]) for line in page] for page in kept]
    except (ObjectMissing, ValueError, OSError, EOFError, zlib.error, TypeError, IndexError):
        pass  # not kept yet, or damaged
    pages = []
    for _, record, problem in read_lines(store, batch, settings.maximum_record_bytes):
        with suppress(Exception):  # its own cleaning says what is wrong with a record
            document = read_raw_document(record or b"")
            if problem is None and document.kind == "page":
                pages.append(hashed(draft(document).text))
    _keep(store, batch, pages)
    return pages


def _kept_key(batch: str) -> str:
    return f"{KEPT}v{CLEANING_VERSION}/{batch.removeprefix('raw/').removesuffix('.jsonl.gz')}.json.gz"


def _keep(store: ObjectStore, batch: str, pages: Sequence[Lines]) -> None:
    data = gzip.compress(json.dumps(pages, separators=(",", ":")).encode(), mtime=0)
    store.put(_kept_key(batch), data, content_type="application/gzip")
