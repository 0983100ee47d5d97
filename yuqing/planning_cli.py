"""`yuqing plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yuqing.errors import YuqingError

if TYPE_CHECKING:
    from yuqing.planning.capacity import Plan

app = typer.Typer()
_STEPS = (1, 100, 10_000)


class PlanError(YuqingError):
    """A number of the load or of the prices is out of its range."""


@app.command("plan")
def plan(
    sites: Annotated[list[int] | None, typer.Option(help="Sites; may be repeated; default: 1, 100 and 10,000.")] = None,
    documents_per_day: Annotated[float, typer.Option(help="New documents a site and day.")] = 200,
    javascript_share: Annotated[float, typer.Option(help="Share of pages that need a browser.")] = 0.1,
    audio_hours_per_day: Annotated[float, typer.Option(help="Hours of sound a site and day.")] = 0.1,
    mention_share: Annotated[float, typer.Option(help="Share of documents that name a watched company.")] = 0.3,
    reprint_share: Annotated[float, typer.Option(help="Share of documents that repeat an earlier one.")] = 0.3,
    delay: Annotated[float, typer.Option(help="Seconds between two requests to a host.")] = 1.0,
    raw_days: Annotated[float, typer.Option(help="Days for which raw batches and recordings are kept.")] = 90,
    keep_months: Annotated[float, typer.Option(help="Months of documents in the database.")] = 12,
    peak: Annotated[float, typer.Option(help="The busiest hour by the mean hour.")] = 3,
    utilisation: Annotated[float, typer.Option(help="How far a part may be filled at the peak.")] = 0.6,
    gpu: Annotated[
        bool, typer.Option("--gpu/--cpu", help="7 B model and large-v3 on GPUs, or the small ones on cores.")
    ] = True,
    core_hour: Annotated[float, typer.Option(help="Price of a core-hour with 4 GiB.")] = 0.045,
    gpu_hour: Annotated[float, typer.Option(help="Price of a GPU-hour.")] = 2.5,
    s3_gb_month: Annotated[float, typer.Option(help="Price of a GB-month of S3.")] = 0.023,
    database_gb_month: Annotated[float, typer.Option(help="Price of a GB-month of database volume.")] = 0.12,
    figures: Annotated[
        Path | None, typer.Option(help="Figures of your machines: what `make bench` prints, or JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What so many sites need: parts, the one that fills up first and its lever, and the cost of a million documents."""
    from yuqing.planning.capacity import Load, Prices
    from yuqing.planning.capacity import plan as compute
    from yuqing.planning.figures import load

    known = load(figures)
    prices = Prices(core_hour, gpu_hour, s3_gb_month, database_gb_month)
    plans = []
    for number in sites or _STEPS:
        asked = Load(
            sites=number,
            documents_per_day=documents_per_day,
            delay_s=delay,
            javascript_share=javascript_share,
            audio_hours_per_day=audio_hours_per_day,
            mention_share=mention_share,
            reprint_share=reprint_share,
            raw_days=raw_days,
            keep_months=keep_months,
            peak=peak,
            utilisation=utilisation,
        )
        try:
            plans.append(compute(asked, prices, known, gpu=gpu))
        except ValueError as error:
            raise PlanError(str(error), cure="`yuqing plan --help` says what each number means") from None
    if as_json:
        typer.echo(json.dumps([_as_dict(item) for item in plans]))
        return
    for item in plans:
        _print(item)
    assumed = [name for name, figure in known.figures.items() if not figure.measured]
    typer.echo(f"measured on: {known.machine}; not measured, but computed or assumed: {', '.join(assumed)}")


def _as_dict(item: Plan) -> dict[str, object]:
    found = asdict(item)
    found["needs"] = [{**asdict(need), "units": need.units} for need in item.needs]
    return {
        **found,
        "bottleneck": item.bottleneck.name,
        "impossible": [need.name for need in item.impossible],
        "cost_million": item.cost_million,
    }


def _print(item: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 118)
    console.print(
        f"[bold]{item.load.sites:,} sites[/]: {item.documents:,.0f} documents, {item.audio_hours:,.1f} hours of sound and "
        f"{item.calls:,.0f} calls of the language model a day; {item.cores:,.1f} cores, {item.gpus:,.2f} GPUs, "
        f"{item.s3_gb:,.0f} GB of S3, {item.database_gb:,.1f} GB of database; {item.cost_day:,.2f} a day, "
        f"{item.cost_million:,.2f} a million documents",
        highlight=False,
    )
    table = Table("part", "filled", "units", "a unit is", "lever", box=None, pad_edge=False)
    for need in item.needs:
        units = "1 alone" if need.single else f"{need.units:,}"
        table.add_row(
            need.name,
            f"{need.ratio:,.1%}",
            units,
            need.unit,
            need.lever if need is item.bottleneck or need.ratio > 1 else "",
        )
    console.print(table)
    for need in item.impossible:
        console.print(f"{need.name} cannot be multiplied and would be filled {need.ratio:,.1f} times: {need.lever}")
    console.print()
