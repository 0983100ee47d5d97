"""The crawler's reports, from reports/crawl/ on S3 into the table crawl_runs; each once, whatever is killed."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ValidationError
from sqlalchemy import Connection, Engine, text
from ulid import ULID

from cleaning.stage import can_be_stored
from yuqing import ledger, quarantine
from yuqing.contracts import now
from yuqing.database import session
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.telemetry import get_logger

STAGE = "crawl_runs"
REPORTS = "reports/crawl/"
# reports/crawl/<site>/<YYYY-MM-DD>/<ulid>.json, the ULID that of the run's start
_KEY = re.compile(rf"{REPORTS}([a-z0-9][a-z0-9_-]*)/\d{{4}}-\d\d-\d\d/([0-9A-HJKMNP-TV-Z]{{26}})\.json")
# A report is named by its run's start and written at its end, so that one with an earlier name may come later. No run takes
# two days: a CronJob's deadline, or the next run, ends it long before.
_LONGEST_RUN = timedelta(days=2)
_TIME = 10  # characters of a ULID that are its time
_READERS = 8  # listings and reports read at the same time; S3's latency dominates
_A_TRANSACTION = 1000

log = get_logger(__name__)


class _Report(BaseModel):
    """What the table needs of a report; the report as a whole is kept beside it."""

    run_id: str
    site: str
    started: AwareDatetime
    finished: AwareDatetime


@dataclass(frozen=True)
class _Read:
    """A report's object: its fields and content (JSON), or why it cannot be used."""

    key: str
    fields: _Report | None = None
    content: str = ""
    problem: str = ""
    data: bytes = b""


def load_reports(pool: Engine, store: ObjectStore) -> int:
    """Load the reports that are not in crawl_runs yet; returns how many came.

    Only keys since two days before the newest run that was loaded are listed, one listing a site. A report that cannot be used
    goes to quarantine/crawl_runs/ with its reason, is settled as failed in the ledger and stops nothing.
    Raises ObjectStoreAway, DatabaseAway.
    """
    with session.transaction(pool) as connection:
        keys = _pending(connection, store)
    loaded = 0
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(keys), _A_TRANSACTION):
            started = now()
            found = list(readers.map(lambda key: _read(store, key), keys[start : start + _A_TRANSACTION]))
            for report in found:
                if report.problem:
                    _quarantine(store, report)
            # In the order of the runs, so that the newest one in the table says what is listed after a kill.
            with session.transaction(pool) as connection:
                loaded += sum(_settle(connection, report, started) for report in found)
    return loaded


def _pending(connection: Connection, store: ObjectStore) -> list[str]:
    """Keys of reports that are neither loaded nor settled as failed, in the order of their runs."""
    # Up to now: a crawler whose clock is ahead must not hide the others' reports.
    latest = {"latest": str(ULID.from_datetime(now()))[:_TIME] + "Z"}
    newest = connection.execute(text("SELECT max(run_id) FROM crawl_runs WHERE run_id < :latest"), latest).scalar_one()
    since = ULID.from_str(newest).datetime - _LONGEST_RUN if newest else None
    first = str(ULID.from_datetime(since))[:_TIME] if since else ""

    def listed(site: str) -> list[str]:
        folder = f"{REPORTS}{site}/"
        after = f"{folder}{since:%Y-%m-%d}" if since else ""
        return [item.key for item in store.list(folder, start_after=after)]

    with ThreadPoolExecutor(_READERS) as readers:
        keys = [key for found in readers.map(listed, store.folders(REPORTS)) for key in found]
    loaded = connection.execute(text("SELECT site, run_id FROM crawl_runs WHERE run_id >= :first"), {"first": first})
    known = {tuple(row) for row in loaded}
    failed = set(connection.execute(text("SELECT batch_key FROM ledger WHERE stage = :s"), {"s": STAGE}).scalars())
    return sorted(
        (key for key in keys if key not in failed and _run(key) not in known), key=lambda key: key.rsplit("/", 1)[-1]
    )


def _run(key: str) -> tuple[str, str] | None:
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def _read(store: ObjectStore, key: str) -> _Read:
    data = b""
    try:
        data = store.get(key)
        run = _run(key)
        if run is None:
            raise ValueError(f"the key is none of a report ({REPORTS}<site>/<YYYY-MM-DD>/<run_id>.json)")
        content = json.loads(data)
        written = json.dumps(content, ensure_ascii=False, allow_nan=False)
        fields = _Report.model_validate(content)
        if (fields.site, fields.run_id) != run:
            raise ValueError(f"it is of site {fields.site!r} and run {fields.run_id!r}, its key of {run}")
        if not can_be_stored(content):
            raise ValueError("it holds a NUL character or a lone surrogate, which the database cannot keep")
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "report"
        return _Read(key, problem=f"field {where}: {first['msg']}", data=data)
    except (ValueError, RecursionError, ObjectMissing) as problem:
        return _Read(key, problem=str(problem) or type(problem).__name__, data=data)
    return _Read(key, fields, written)


def _quarantine(store: ObjectStore, report: _Read) -> None:
    log.warning("a crawl's report cannot be used", key=report.key, reason=report.problem)
    record = {"reason": report.problem, "key": report.key, "report": report.data.decode("utf-8", "replace")}
    quarantine.write(store, STAGE, report.key.removesuffix(".json"), [record])


def _settle(connection: Connection, report: _Read, started: datetime) -> bool:
    """Whether the report is loaded by this transaction, and not by another worker's."""
    if report.fields is None:
        ledger.record(connection, STAGE, report.key, "failed", {}, started, report.problem)
        return False
    result = connection.execute(
        text(
            "INSERT INTO crawl_runs (run_id, site, started_at, finished_at, report) "
            "VALUES (:run_id, :site, :started, :finished, CAST(:report AS jsonb)) ON CONFLICT (run_id, site) DO NOTHING"
        ),
        {**report.fields.model_dump(), "report": report.content},
    )
    return result.rowcount == 1
