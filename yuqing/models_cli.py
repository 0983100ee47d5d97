"""`yuqing models list|pull|verify|push|fetch`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from yuqing.model_manifest import Model, find_model, manifest
from yuqing.settings import get_settings
from yuqing.weights import is_complete, model_folder, problems, pull, show_in

app = typer.Typer(
    help="Model files: what there is, pull it, verify it, bring it to S3 and from there to a pod.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="Models of `yuqing models list`; none: the defaults.")]


def _size(model: Model) -> str:
    if model.size is None:
        return "unknown"
    return f"{model.size / 2**30:.1f} GiB" if model.size >= 2**30 else f"{model.size / 2**20:.0f} MiB"


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """Show the models that yuqing knows, their licences, and which of them are here."""
    settings = get_settings()
    rows = [
        {
            "name": model.name,
            "title": model.title,
            "licence": model.licence,
            "default": model.default,
            "pinned": model.pinned,
            "bytes": model.size,
            "here": is_complete(model, model_folder(model, settings)),
            "folder": str(model_folder(model, settings)),
        }
        for model in manifest().values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "what", "licence", "size", "here")
    for row, model in zip(rows, manifest().values(), strict=True):
        mark = "yes" if row["here"] else ("no" if model.pinned else "no (hashes unknown)")
        table.add_row(model.name, model.title, model.licence, _size(model), mark)
    Console().print(table)


@app.command("pull")
def pull_models(
    names: Names = None,
    accept_unverified: Annotated[
        bool, typer.Option("--accept-unverified", help="Fetch also a model whose hashes the manifest does not know.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch models that are not here yet and verify them; an interrupted pull is resumed."""
    from yuqing.telemetry import progress

    settings = get_settings()
    chosen = [find_model(name) for name in names] if names else [m for m in manifest().values() if m.default]
    answers = []
    for model in chosen:
        with progress() as bar:
            on_progress = show_in(bar, model)
            fetched = pull(model, settings, accept_unverified=accept_unverified, on_progress=on_progress)
        answers.append({"name": model.name, "fetched": fetched, "folder": str(model_folder(model, settings))})
        if not as_json:
            typer.echo(f"{model.name}: {'fetched and verified' if fetched else 'was here'}, {answers[-1]['folder']}")
    if as_json:
        typer.echo(json.dumps(answers))


@app.command("verify")
def verify_models(names: Names = None, as_json: Json = False) -> None:
    """Read every file and compare its sha256; no names: of all models that are here. Exit status 1: one is wrong."""
    settings = get_settings()
    chosen = (
        [find_model(name) for name in names]
        if names
        else [model for model in manifest().values() if model_folder(model, settings).exists()]
    )
    answers = [{"name": model.name, "problems": problems(model, model_folder(model, settings))} for model in chosen]
    if as_json:
        typer.echo(json.dumps(answers))
    else:
        for answer in answers:
            typer.echo(f"{answer['name']}: {'; '.join(answer['problems']) or 'verified'}")
    if any(answer["problems"] for answer in answers):
        raise typer.Exit(1)


@app.command("push")
def push_models(
    models: Annotated[list[str], typer.Argument(metavar="NAME|FOLDER...", help="Models of the list, or folders.")],
) -> None:
    """Bring models to S3, from where pods fetch them; a model of the list is pulled first where it is not here."""
    from yuqing.model_store import push
    from yuqing.objects import ObjectStore
    from yuqing.weights import model_path

    settings = get_settings()
    store = ObjectStore.from_settings(settings)
    store.ensure_bucket()
    for model in models:
        folder = Path(model).resolve() if Path(model).is_dir() else model_path(model, settings)
        typer.echo(f"{folder} -> {push(store, folder)}")


@app.command("fetch")
def fetch_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models that were pushed.")],
) -> None:
    """Bring models from S3 to this machine's cache, every file's sha256 compared; what is here already is left alone."""
    from yuqing.model_store import fetch
    from yuqing.objects import ObjectStore

    settings = get_settings()
    store = ObjectStore.from_settings(settings)
    for name in names:
        typer.echo(f"{name}: {'fetched and verified' if fetch(store, name, settings) else 'was here'}")
