"""`yuqing llm adapters ...` and `yuqing llm sync`."""

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, get_settings

app = typer.Typer(help="The adapters on S3: list, push, compare, activate, roll back.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="An adapter's name on S3, as `list` shows it.")]
BARE = "base"  # in place of an adapter: the bare base


def _store() -> tuple[Settings, ObjectStore]:
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    store = ObjectStore.from_settings(settings)
    store.ensure_bucket()
    return settings, store


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """The adapters on S3; the active one has a star."""
    from llm.registry import list_adapters

    _, store = _store()
    found = list_adapters(store)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False))
        return
    for each in found:
        metrics = ", ".join(f"{name} {_short(value)}" for name, value in each.metrics.items())
        typer.echo(
            f"{'*' if each.active else ' '} {each.name}  for {each.base}, {each.prompt_version}; {metrics or 'no metrics'}"
        )


def _short(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={found}" for name, found in value.items() if isinstance(found, int | float))
    return str(value)


@app.command("push")
def push(adapter: Annotated[str, typer.Argument(help="A shipped adapter, or a folder with its card.")]) -> None:
    """Store an adapter on S3 under its name and hash; prints that name."""
    from llm.adapters import load_adapter
    from llm.registry import push as run

    settings, store = _store()
    typer.echo(run(store, load_adapter(adapter), settings))


@app.command("compare")
def compare(
    new: Annotated[Path, typer.Argument(help="Folder of the adapter whose card gets the result.")],
    other: Annotated[str, typer.Argument(help="The adapter to compare with (shipped, a folder, on S3), or base.")],
    answers: Annotated[
        Path,
        typer.Option(
            help="The new one's answers.jsonl of `yuqing llm evaluate`, or lines of `yuqing sentiment` with ids 0, 1, 2..."
        ),
    ],
    other_answers: Annotated[Path, typer.Option(help="The other one's answers on the same documents.")],
    documents: Annotated[
        str, typer.Option(help="What was answered: labelled JSON lines, inews:dev or inews:test.")
    ] = "inews:dev",
) -> None:
    """A paired test of two adapters' answers, written into the new one's card."""
    from llm.adapters import CARD, SHIPPED, AdapterError, load_adapter
    from llm.compare import compare as run
    from llm.evaluation.documents import content_digest, documents_named, labels_digest
    from llm.registry import write_comparison
    from llm.triage.answers import answered_by, check_documents, note_of, read_answers
    from llm.triage.ensemble import weights_of
    from yuqing.adapters import read_card, stored

    adapter = load_adapter(f"{new}/")
    known: dict[str, str | None] = {"adapter": None, "sha256": None}
    if other != BARE:
        # Names on S3 end with a hash, so that a shipped one's is none of them, and asks for no S3.
        store = None if "/" in other or (SHIPPED / other / CARD).is_file() else _store()[1]
        if store is not None and other in stored(store):
            known = {"adapter": other, "sha256": str(read_card(store, other)["sha256"])}
        else:
            loaded = load_adapter(other)
            known = {"adapter": loaded.served_name, "sha256": loaded.digest}
    labelled = documents_named(documents)
    labels = []
    for path, name in ((answers, adapter.served_name), (other_answers, known["adapter"])):
        found = read_answers(path, len(labelled))
        if len(found) < len(labelled):
            raise AdapterError(f"{path} answers {len(found)} of {len(labelled)} documents", cure="answer them all")
        if note_of(path).exists():  # lines of `yuqing sentiment` have none
            check_documents(path, labelled)
            if weights_of(by := answered_by(path) or "") != weights_of(name or ""):
                raise AdapterError(
                    f"{path} holds the answers of {by or 'the bare base'}, not of {name or 'the bare base'}",
                    cure="give those of `yuqing llm evaluate` with this adapter",
                )
        labels.append([found[place].sentiment for place in range(len(labelled))])
    result = run([document.sentiment for document in labelled], *labels)
    data = {"data": documents, "data_sha256": content_digest(labelled), "labels_sha256": labels_digest(labelled)}
    comparison = {"with": known, **data, **result}
    write_comparison(new, comparison)
    typer.echo(json.dumps(comparison, ensure_ascii=False))


@app.command("activate")
def activate(
    name: Name, force: Annotated[str, typer.Option(metavar="REASON", help="Activate it without a comparison.")] = ""
) -> None:
    """Make a pushed adapter the one that servers serve, when its card tells of a paired test against the active one.

    "base", with --force: the bare base, as for a model for which there is no adapter yet.
    """
    from llm.registry import activate_compared
    from yuqing import adapters

    settings, store = _store()
    if name == BARE and force:
        active = adapters.activate(store, None, by=f"{getpass.getuser()} (forced: {force})")
        typer.echo(f"the bare base is active (change {active.generation})")
        _tell_of_weights(None)
        return
    active = activate_compared(store, name, settings, by=getpass.getuser(), force=force)
    typer.echo(f"{active.adapter} is active (change {active.generation})")
    _tell_of_weights(active.adapter)


@app.command("rollback")
def rollback() -> None:
    """Make the adapter before the active one active again."""
    from yuqing.adapters import roll_back

    _, store = _store()
    active = roll_back(store, by=getpass.getuser())
    typer.echo(f"{active.adapter or 'the bare base'} is active (change {active.generation})")
    _tell_of_weights(active.adapter)


def _tell_of_weights(adapter: str | None) -> None:
    from llm.entity import opinion
    from llm.triage import ensemble

    for told in (ensemble.not_for(adapter), opinion.not_for(adapter)):
        if told:
            typer.echo(f"note: {told}", err=True)


def sync(
    follow: Annotated[bool, typer.Option("--follow", help="Stay and apply what becomes active.")] = False,
    every: Annotated[float, typer.Option(min=1, help="With --follow: seconds between two looks.")] = 15,
) -> None:
    """Apply the active adapter to the server beside this command: load it there, or merge it and let the server start again."""
    from llm.sync import apply
    from llm.sync import follow as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    if follow:
        run(settings, every)
    outcome = apply(settings)
    typer.echo(outcome)
    if outcome == "away":
        raise typer.Exit(1)
