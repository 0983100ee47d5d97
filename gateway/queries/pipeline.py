"""How the pipeline is doing, for /metrics: what cron jobs did cannot be asked of them when they are gone."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.jobs import KNOWN

# What is put off for more than a retry's pause (to the next day's tokens, say) is no work for anybody yet: `later`.
_DUE = "(scheduled_at IS NULL OR scheduled_at < now() + interval '10 minutes')"
_JOBS = text(
    f"SELECT queue_name, CASE WHEN status = 'todo' AND NOT {_DUE} THEN 'later' ELSE CAST(status AS text) END, count(*) "
    "FROM procrastinate_jobs WHERE status IN ('todo', 'doing', 'failed') GROUP BY 1, 2 ORDER BY 1, 2"
)
# A job's age counts from its last event: deferred, or put back for another try.
_WAITING = text(
    "SELECT j.queue_name, EXTRACT(epoch FROM now() - min(e.at)) FROM procrastinate_jobs j "
    f"JOIN procrastinate_events e ON e.job_id = j.id WHERE j.status = 'todo' AND {_DUE} GROUP BY 1 ORDER BY 1"
)
_LEDGER = text(
    "SELECT stage, state, count(*), EXTRACT(epoch FROM max(finished_at)) FROM ledger GROUP BY 1, 2 ORDER BY 1, 2"
)
_CRAWLS = text(
    "SELECT site, EXTRACT(epoch FROM max(finished_at)), count(*) FILTER (WHERE finished_at > now() - interval '1 day') "
    "FROM crawl_runs GROUP BY 1 ORDER BY 1"
)

# The newest run of each site that is not older than two days, and what an operator should look at in it.
_FLAGS = text(
    "SELECT flag ->> 'kind', count(DISTINCT site) FROM (SELECT DISTINCT ON (site) site, report FROM crawl_runs "
    "WHERE finished_at > now() - interval '2 days' ORDER BY site, finished_at DESC) AS newest, "
    "jsonb_array_elements(CASE jsonb_typeof(report -> 'flags') WHEN 'array' THEN report -> 'flags' ELSE '[]' END) AS flag "
    "WHERE flag ->> 'kind' IS NOT NULL GROUP BY 1 ORDER BY 1"
)
_CLEANED = text(
    "SELECT coalesce(sum((counts ->> 'cleaned')::bigint), 0), coalesce(sum((counts ->> 'quarantined')::bigint), 0) "
    "FROM ledger WHERE stage = 'cleaning' AND finished_at > now() - interval '1 day'"
)


def _gauge(name: str, meaning: str, labels: Iterable[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    gauge = GaugeMetricFamily(name, meaning, labels=list(labels))
    for values, number in samples:
        gauge.add_metric(values, float(number))
    return gauge


async def pipeline_metrics(connection: AsyncConnection) -> list[Metric]:
    """Queues, ledger and crawls as gauges; six statements."""
    # What is empty is told as 0: an autoscaler learns nothing from a series that is not there, an alert sees no rise from it.
    counts = {(queue, status): 0 for queue in KNOWN for status in ("todo", "later", "doing", "failed")}
    counts |= {(queue, status): number for queue, status, number in await connection.execute(_JOBS)}
    jobs = [([queue, status], number) for (queue, status), number in sorted(counts.items())]
    waiting = [([queue], seconds) for queue, seconds in await connection.execute(_WAITING)]
    ledger = (await connection.execute(_LEDGER)).all()
    crawls = (await connection.execute(_CRAWLS)).all()
    flags = [([kind], sites) for kind, sites in await connection.execute(_FLAGS)]
    cleaned, quarantined = (await connection.execute(_CLEANED)).one()
    by_stage = {(stage, state): 0 for stage, *_ in ledger for state in ("done", "failed")}
    by_stage |= {(stage, state): number for stage, state, number, _ in ledger}
    batches = [([stage, state], number) for (stage, state), number in sorted(by_stage.items())]
    settled = [([stage, state], time) for stage, state, _, time in ledger]
    return [
        _gauge("yuqing_jobs", "Jobs by queue and status", ("queue", "status"), jobs),
        _gauge("yuqing_oldest_job_seconds", "Age of the job that has waited longest", ("queue",), waiting),
        _gauge("yuqing_ledger_batches", "Batches that a stage has settled", ("stage", "state"), batches),
        _gauge("yuqing_ledger_last_seconds", "When a stage last settled a batch (Unix)", ("stage", "state"), settled),
        _gauge(
            "yuqing_crawl_last_seconds",
            "When a site's last crawl ended (Unix)",
            ("site",),
            [([s], t) for s, t, _ in crawls],
        ),
        _gauge(
            "yuqing_crawls_of_a_day",
            "A site's crawls of the last 24 hours",
            ("site",),
            [([s], n) for s, _, n in crawls],
        ),
        _gauge("yuqing_crawl_flags", "Sites whose newest crawl is flagged, by kind", ("kind",), flags),
        _gauge("yuqing_cleaned_of_a_day", "Records cleaned in the last 24 hours", (), [([], cleaned)]),
        _gauge(
            "yuqing_quarantined_of_a_day",
            "Records that cleaning set aside in the last 24 hours",
            (),
            [([], quarantined)],
        ),
    ]
