"""`yuqing llm train-triage`, `thresholds` and `fit-ensemble`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.settings import get_settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Answers = Annotated[
    Path, typer.Option(help="The language model's answers on the split; asked of the server where they are missing.")
]
AnsweredOnly = Annotated[
    bool, typer.Option("--answered-only", help="Take the documents that the file answers, and ask no server.")
]


def train_triage(
    out: Annotated[Path | None, typer.Argument(help="Folder of the model; default: the shipped one.")] = None,
) -> None:
    """Train triage on INEWS's train split; prints its figures on the dev split."""
    from llm.triage.model import SHIPPED
    from llm.triage.train import train

    card = train(out or SHIPPED)
    typer.echo(json.dumps({"sha256": card["sha256"], "bytes": card["bytes"], **card["metrics"]["dev"]}))


def thresholds(
    answers: Answers = Path("inews-dev.jsonl"), answered_only: AnsweredOnly = False, as_json: Json = False
) -> None:
    """The cascade's trade-off on INEWS's dev split: share spared against accuracy, for the settings llm.triage_*."""
    from llm import inews
    from llm.triage.answers import answered, triage_probabilities
    from llm.triage.thresholds import trade_offs

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    documents, asked = answered(inews.load("dev"), answers, settings, ask=not answered_only)
    rows = trade_offs(triage_probabilities(documents), asked, [document.sentiment for document in documents])
    if as_json:
        typer.echo(json.dumps([vars(row) | {"loss": row.loss} for row in rows]))
        return
    typer.echo("triage_neutral  triage_negative  spared  right there  cascade  llm alone   loss")
    for row in rows:
        typer.echo(
            f"{row.neutral:14.2f}  {row.negative:15.2f}  {row.spared:6.3f}  {row.spared_accuracy:11.3f}  "
            f"{row.cascade_accuracy:7.3f}  {row.llm_accuracy:9.3f}  {row.loss:+.3f}"
        )


def fit_ensemble(
    answers: Answers = Path("inews-dev.jsonl"),
    answered_only: AnsweredOnly = False,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Whose answers the file holds, where nothing beside it says so: a shipped adapter, or a folder."
        ),
    ] = None,
) -> None:
    """Fit the ensemble's weights on INEWS's dev split for the adapter that answered; prints its figures beside its parts'."""
    from llm.adapters import load_adapter
    from llm.triage.answers import fit_on_dev

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    named = load_adapter(adapter) if adapter else None
    typer.echo(json.dumps(fit_on_dev(answers, settings, ask=not answered_only, adapter=named)))
