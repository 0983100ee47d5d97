"""`yuqing llm dataset`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import get_settings


def dataset(
    out: Annotated[Path, typer.Argument(help="With --from: folder to write. Without: JSON-lines file to write.")],
    sources: Annotated[
        list[str] | None,
        typer.Option("--from", help="Labelled CSV or JSON lines, corrections (the table), or inews; several times."),
    ] = None,
    dev: Annotated[
        float, typer.Option(min=0, max=0.5, help="With --from: share of dev where no split is named.")
    ] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=0.5, help="With --from: share of test.")] = 0.1,
    whole: Annotated[
        float, typer.Option(min=0, max=1, help="With --from: whole answers of documents without companies, a share.")
    ] = 0.1,
    tolerate: Annotated[
        float, typer.Option(min=0, max=1, help="With --from: share of broken records that are dropped.")
    ] = 0.05,
    team: Annotated[str | None, typer.Option(help="With --from corrections: this team's alone.")] = None,
    full: Annotated[int, typer.Option(help="Without --from: samples with the whole answer.")] = 90,
    labels: Annotated[int, typer.Option(help="Without --from: samples with the sentiment only.")] = 900,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="With --from: print the report as JSON.")] = False,
) -> None:
    """Build a training set: checked, split, and in the product's own answer format; without --from a small one of INEWS."""
    if not sources:
        from llm.dataset import inews_training_set, write_samples

        samples = inews_training_set(full=full, labels=labels, seed=seed)
        typer.echo(f"{len(samples)} samples, sha256 {write_samples(samples, out)}")
        return
    from llm.instructions.run import make

    if out.is_file():
        raise YuqingError(f"{out} is a file", cure="with --from, name a folder")
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    shares = {"dev": dev, "test": test}
    report = make(sources, out, settings, shares=shares, whole=whole, seed=seed, tolerated=tolerate, team=team)
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else (out / "report.md").read_text(encoding="utf-8"))
