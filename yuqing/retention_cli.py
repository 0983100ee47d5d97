"""`yuqing retention`."""

import json
from typing import Annotated

import typer

from yuqing.settings import SettingsError, get_settings

app = typer.Typer()


@app.command("retention")
def retention(
    apply: Annotated[bool, typer.Option("--apply", help="delete; without it only say what would be deleted")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as one JSON object")] = False,
) -> None:
    """Delete raw batches, quarantined records, recordings, reports and names that are too old and not needed any more."""
    from yuqing.contracts import now
    from yuqing.database import session
    from yuqing.objects import ObjectStore
    from yuqing.retention import delete, expired
    from yuqing.retention_rows import delete_rows, expired_rows
    from yuqing.telemetry import configure

    configure(stage="retention")
    settings = get_settings()
    raw_days, retry_days = settings.retention.raw_days, settings.crawler.retry_days
    if raw_days is not None and raw_days < retry_days:
        raise SettingsError(
            f"retention.raw_days is {raw_days}, and for {retry_days:g} days (crawler.retry_days) the crawler tries recordings "
            "again whose pages stand in raw/",
            cure="set YUQING_RETENTION__RAW_DAYS to as many days at least",
        )
    reports_days, yield_days = settings.retention.reports_days, settings.crawler.yield_days
    if reports_days is not None and reports_days < yield_days:
        raise SettingsError(
            f"retention.reports_days is {reports_days}, and the crawler compares a run with those of {yield_days:g} days "
            "(crawler.yield_days)",
            cure="set YUQING_RETENTION__REPORTS_DAYS to as many days at least",
        )
    store = ObjectStore.from_settings(settings)
    pool = session.engine(settings)
    try:
        at = now()
        found = expired(pool, store, settings.retention, at)
        rows = expired_rows(pool, settings.retention, at)
        if apply:
            # Recordings before batches: what a crawl has stored since they were listed may name them. Reports before their
            # rows: a report without a row would be loaded again.
            for kind in reversed(found):
                delete(store, kind.objects)
            for row in rows:
                delete_rows(pool, row)
    finally:
        pool.dispose()
    counts: list[dict[str, object]] = [
        {
            "kind": kind.kind,
            "days": kind.days,
            "objects": len(kind.objects),
            "bytes": kind.bytes,
            "still_needed": kind.needed,
        }
        for kind in found
    ]
    counts += [{"kind": row.kind, "days": row.days, "rows": row.rows} for row in rows]
    if as_json:
        typer.echo(json.dumps({"deleted": apply, "kinds": counts}))
        return
    if not counts:
        typer.echo(
            "nothing is deleted by age: set YUQING_RETENTION__RAW_DAYS, __QUARANTINE_DAYS, __MEDIA_DAYS or another"
        )
    for kind in found:
        typer.echo(
            f"{kind.kind}: {len(kind.objects)} objects ({kind.bytes / 2**20:.1f} MiB) older than {kind.days} days "
            f"{'deleted' if apply else 'would be deleted'}, {kind.needed} older ones are still needed"
        )
    for row in rows:
        done = "emptied" if row.kind == "authors" else "deleted"
        typer.echo(f"{row.kind}: {row.rows} rows older than {row.days} days {done if apply else f'would be {done}'}")
    if counts and not apply:
        typer.echo("nothing was deleted; `yuqing retention --apply` does it")
