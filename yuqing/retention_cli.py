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
    """Delete raw batches, quarantined records and recordings older than the settings say, and not needed any more."""
    from yuqing.contracts import now
    from yuqing.database import session
    from yuqing.objects import ObjectStore
    from yuqing.retention import delete, expired
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
    store = ObjectStore.from_settings(settings)
    pool = session.engine(settings)
    try:
        found = expired(pool, store, settings.retention, now())
    finally:
        pool.dispose()
    if apply:
        for kind in reversed(found):  # recordings first: what a crawl has stored since they were listed may name them
            delete(store, kind.objects)
    counts = [
        {
            "kind": kind.kind,
            "days": kind.days,
            "objects": len(kind.objects),
            "bytes": kind.bytes,
            "still_needed": kind.needed,
        }
        for kind in found
    ]
    if as_json:
        typer.echo(json.dumps({"deleted": apply, "kinds": counts}))
        return
    if not found:
        typer.echo("nothing is deleted by age: set YUQING_RETENTION__RAW_DAYS, __QUARANTINE_DAYS or __MEDIA_DAYS")
    for kind in found:
        typer.echo(
            f"{kind.kind}: {len(kind.objects)} objects ({kind.bytes / 2**20:.1f} MiB) older than {kind.days} days "
            f"{'deleted' if apply else 'would be deleted'}, {kind.needed} older ones are still needed"
        )
    if found and not apply:
        typer.echo("nothing was deleted; `yuqing retention --apply` does it")
