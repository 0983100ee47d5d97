"""`yuqing llm entities ...`: company-level sentiment on labelled documents."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from yuqing import telemetry
from yuqing.settings import get_settings

app = typer.Typer(
    help="Company-level sentiment: measure it on labelled documents, fit its weights.", no_args_is_help=True
)

Documents = Annotated[Path, typer.Argument(help="Labelled documents, as tests/data/entity_sentiment/documents.jsonl.")]
Answers = Annotated[
    Path | None,
    typer.Option(
        help="The language model's answers; asked of the server where they are missing. Without it: rules alone."
    ),
]


@app.command("evaluate")
def evaluate(
    documents: Documents,
    answers: Answers = None,
    part: Annotated[Literal["dev", "test", "all"], typer.Option(help="Which part to measure.")] = "test",
) -> None:
    """Macro-F1 against copying the document's label, evidence found, calibration; prints JSON."""
    from llm.entity.evaluate import answers_of, load
    from llm.entity.evaluate import evaluate as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    chosen = [each for each in load(documents) if part in (each.part, "all")]
    known = answers_of(chosen, answers, settings) if answers else None
    typer.echo(json.dumps(run(chosen, known), ensure_ascii=False))


@app.command("fit")
def fit(
    documents: Documents,
    answers: Answers = None,
    adapter: Annotated[
        str | None,
        typer.Option(help="Whose answers the file holds, where nothing beside it says so: a shipped one, or a folder."),
    ] = None,
) -> None:
    """Fit the weights on the dev part and write them; prints the figures of both parts."""
    from llm.adapters import load_adapter
    from llm.entity import opinion
    from llm.entity.evaluate import answers_of, load
    from llm.entity.evaluate import evaluate as run
    from llm.entity.evaluate import fit as fit_on
    from llm.triage.answers import answered_by, check_question, note, parts_of
    from llm.triage.model import load as load_triage

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    everything = load(documents)
    dev = [each for each in everything if each.part == "dev"]
    fitted = {"rules": fit_on(dev, None)}
    about: dict[str, Any] = {"data": f"the dev part of {documents.name}", "triage": load_triage().name}
    known = None
    if answers:
        if adapter:
            note(answers, load_adapter(adapter).served_name, settings.llm.base)
        known = answers_of(everything, answers, settings)
        about["fitted_for"] = parts_of(settings, answered_by(answers))
        check_question(answers, settings)
        fitted["llm"] = fit_on(dev, known)
    metrics: dict[str, Any] = {}
    for name, model in fitted.items():
        for part in ("dev", "test"):
            chosen = [each for each in everything if each.part == part]
            metrics.setdefault(name, {})[part] = run(chosen, known if name == "llm" else None, model=model)
    opinion.save(fitted, {**about, "metrics": metrics})
    typer.echo(json.dumps(metrics, ensure_ascii=False))
