"""`yuqing backup` and `yuqing restore`."""

import json
from typing import Annotated

import typer

from yuqing.settings import get_settings

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("backup")
def backup(
    show: Annotated[bool, typer.Option("--list", help="Only show the complete backups.")] = False,
    verify: Annotated[
        str | None, typer.Option(metavar="ID", help='Only prove a backup ("latest": the newest).')
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="With --verify: read and hash every content.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Trust no earlier backup: read and write all contents anew.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Go on with the backups of another bucket or database: after a restore or a move."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Back up the database and the objects that earlier backups do not hold; delete all but the last backup.keep."""
    from yuqing import telemetry
    from yuqing.backup import layout, making, restoring

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="backup")
    if show:
        _, backups = making.stores(settings)
        found = [layout.as_json(layout.read_record(backups, name)) for name in layout.record_ids(backups)]
        for item in found:
            typer.echo(json.dumps(item) if as_json else _line(item))
        if not found and not as_json:
            typer.echo("there is no backup yet")
        return
    if verify:
        record = layout.as_json(restoring.verify(settings, verify, deep=deep))
        typer.echo(json.dumps(record) if as_json else f"whole: {_line(record)}")
        return
    with telemetry.progress() as bar:
        task = bar.add_task("backing up objects", total=None)
        made = making.back_up(settings, lambda count: bar.update(task, completed=count), full=full, adopt=adopt)
    record = layout.as_json(made)
    pruned = making.prune(settings, settings.backup.keep)
    if as_json:
        typer.echo(json.dumps({**record, "deleted_backups": pruned.backups, "deleted_bytes": pruned.bytes}))
    else:
        typer.echo(_line(record))


def _line(record: dict[str, object]) -> str:
    size, new = (float(str(record[key])) / 2**20 for key in ("bytes", "new_bytes"))
    return (
        f"{record['id']}  {str(record['finished'])[:16]}  {record['objects']} objects ({size:.1f} MiB, {new:.1f} new), "
        f"{record['rows']} rows, revision {record['revision']}"
    )


@app.command("restore")
def restore(
    name: Annotated[str, typer.Argument(metavar="ID", help='A backup, or "latest".')],
    as_json: Json = False,
) -> None:
    """Bring a backup back into the database and the bucket of the settings, which have to be empty; killed, it goes on."""
    from yuqing import telemetry
    from yuqing.backup import restoring
    from yuqing.database.upgrade import latest

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="restore")
    with telemetry.progress() as bar:
        task = bar.add_task("restoring objects", total=None)
        found = restoring.restore(settings, name, lambda count: bar.update(task, completed=count))
    revision = found.record.database.revision
    if as_json:
        answer = {"id": found.record.id, "objects": found.objects, "there_before": found.there}
        typer.echo(json.dumps({**answer, "rows": found.rows, "revision": revision}))
        return
    typer.echo(
        f"{found.record.id}: {found.objects} objects ({found.there} were there), {found.rows} rows restored and compared"
    )
    if revision != latest():
        typer.echo(f"the tables are of revision {revision}; this release needs {latest()}: run `yuqing db upgrade`")
