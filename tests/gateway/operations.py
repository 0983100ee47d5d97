"""What an operator finds: reports of crawls, jobs, quarantine. For the tests of the API and of the pages."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, text
from ulid import ULID

from tests.gateway.rows import RECALL
from yuqing import quarantine
from yuqing.contracts import now
from yuqing.database import models
from yuqing.jobs import ANALYZE, TRANSCRIBE, Job, defer_in_transaction
from yuqing.objects import ObjectStore

BROKEN = {
    "url": "https://caijing.example/kuaixun/1.html",
    "canonical_url": "https://caijing.example/kuaixun/1.html",
    "site": "caijing",
    "spider": "site",
    "kind": "page",
    "fetched_at": "2026-11-20T08:00:00Z",
    "http_status": 200,
    "content_type": "text/html",
    "body": f"<html><head><title>召回</title></head><body><p>{RECALL.replace(chr(10) * 2, '</p><p>')}</p></body></html>",
    "run_id": "01JD4S8V9M3F1Q2R5T6W7X8Y9Z",
}


def add_run(connection: Connection, site: str, hours_ago: float, **fields: Any) -> str:
    """A crawl's report as the cleaning loads it; returns the run's id."""
    started: datetime = now() - timedelta(hours=hours_ago)
    run_id = str(ULID.from_datetime(started))
    report = {
        "run_id": run_id,
        "site": site,
        "started": started.isoformat(),
        "finished": (started + timedelta(seconds=48)).isoformat(),
        "reason": "finished",
        "complete": True,
        "found": 60,
        "found_new": 12,
        "new_articles": 12,
        "pages": 74,
        "by_status": {"200": 74},
        "error_count": 0,
        "flags": [],
        **fields,
    }
    times = {"started_at": started, "finished_at": started + timedelta(seconds=48)}
    connection.execute(insert(models.CrawlRun).values(run_id=run_id, site=site, report=report, **times))
    return run_id


def add_runs(connection: Connection) -> dict[str, str]:
    """A good, a flagged and a failed site's crawls; site -> its last run."""
    for hours in (3, 2, 1):
        add_run(connection, "people", hours)
    flag = {"kind": "low_yield", "message": "9 links to articles were found, 60 are usual here (the median of 20 runs)"}
    return {
        "people": add_run(connection, "people", 0.1),
        "xinhuanet": add_run(connection, "xinhuanet", 0.1, new_articles=2, flags=[flag]),
        "caixin": add_run(
            connection,
            "caixin",
            0.1,
            new_articles=0,
            pages=9,
            by_status={"403": 9},
            error_count=9,
            errors=[{"url": "https://www.caixin.example/", "reason": "403"}],
        ),
    }


def add_jobs(connection: Connection) -> dict[str, int]:
    """A waiting, a failed and a cancelled job; status -> its id."""
    jobs = [
        Job(ANALYZE, ANALYZE, {"doc_id": "0" * 32, "content_hash": "1" * 32}, "analyze:a"),
        Job(ANALYZE, ANALYZE, {"doc_id": "2" * 32, "content_hash": "3" * 32}, "analyze:b"),
        Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": "4" * 64}, "transcribe:c"),
    ]
    defer_in_transaction(connection, jobs)
    ids = connection.execute(text("SELECT id FROM procrastinate_jobs ORDER BY id")).scalars().all()[-3:]
    for job, status in ((ids[1], "failed"), (ids[2], "cancelled")):
        # As procrastinate's own functions leave them; its triggers write the events.
        connection.execute(
            text("UPDATE procrastinate_jobs SET status = CAST(:status AS procrastinate_job_status) WHERE id = :job"),
            {"status": status, "job": job},
        )
    return {"todo": ids[0], "failed": ids[1], "cancelled": ids[2]}


def add_quarantine(store: ObjectStore, records: Sequence[dict[str, Any]] = ()) -> dict[str, str]:
    """What three stages could not use; stage -> key."""
    day = datetime.fromisoformat("2026-11-20T00:00:00Z")
    cleaning = records or [
        {"reason": "the text is shorter than 5000 characters", "batch": "raw/x.jsonl.gz", "line": 0, "record": BROKEN},
        {"reason": "field url: Field required", "batch": "raw/x.jsonl.gz", "line": 0, "record": {"title": "没有地址"}},
    ]
    return {
        "cleaning": quarantine.write(store, "cleaning", "01JD4S8V9M3F1Q2R5T6W7X8Y9Z", cleaning, day=day),
        "asr": quarantine.write(
            store, "asr", "5" * 64, [{"reason": "no audio stream", "media_sha256": "5" * 64}], day=day
        ),
        "crawl_runs": quarantine.write(
            store,
            "crawl_runs",
            "01JD4S8V9M3F1Q2R5T6W7X8Y9Z",
            [{"reason": "field finished: Field required", "key": "reports/crawl/x.json", "report": json.dumps({})}],
            day=day - timedelta(days=1),
        ),
    }


def add_adapters(store: ObjectStore) -> None:
    """Two whole adapters, one whose card cannot be read, and one that is still being pushed."""
    for name, f1 in (("inews-v1", 0.714), ("inews-v2", 0.741)):
        card = {
            "name": name,
            "base": {"name": "qwen2.5-coder-0.5b-instruct", "sha256": "a" * 64},
            "prompt_version": "analysis-v1",
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "metrics": {"dev": {"accuracy": 0.79, "macro_f1": f1}},
        }
        store.put(f"adapters/{name}/card.json", json.dumps(card).encode())
    store.put("adapters/broken/card.json", b"{")
    store.put("adapters/half/weights.safetensors", b"0")
