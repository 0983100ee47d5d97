"""`yuqing llm evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import get_settings


def evaluate(
    documents: Annotated[
        str,
        typer.Argument(help='JSON lines {"title","text","sentiment","companies"?}; or inews:dev, inews:test.'),
    ],
    out: Annotated[Path, typer.Option(help="Folder of answers and report; a run that was interrupted goes on.")],
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="triage, llm or ensemble; several times. Default: all.")
    ] = None,
    floors: Annotated[Path | None, typer.Option(help="Figures that must be reached; status 1 when one is not.")] = None,
    raise_floors: Annotated[
        bool, typer.Option("--raise-floors", help="Move the floors up to this run's better figures; none moves down.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Ask for whole answers also where no document names companies.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Read the labels in this process (needs yuqing[train]) and ask no server.")
    ] = False,
    adapter: Annotated[
        str | None, typer.Option(help="With --local: a shipped adapter, a folder, or base; default: the active one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many documents alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure triage, the language model and their ensemble on labelled documents; writes report.md and report.json."""
    from llm.evaluation import floors as gate
    from llm.evaluation.answers import Wanted
    from llm.evaluation.documents import documents_named
    from llm.evaluation.measure import ENGINES, run
    from llm.evaluation.report import figures_of, write

    wanted = list(dict.fromkeys(engine or ENGINES))
    unknown = [name for name in wanted if name not in ENGINES]
    if unknown:
        raise YuqingError(f"the engine {unknown[0]} is not known", cure=f"use one of {', '.join(ENGINES)}")
    if adapter is not None and not local:
        raise YuqingError(
            "--adapter belongs to --local", cure="a server serves the adapter that it was started with (llm.adapter)"
        )
    if whole and local:
        raise YuqingError("--whole asks a server, --local reads labels alone", cure="leave one of them out")
    if raise_floors and floors is None:
        raise YuqingError("--raise-floors needs --floors FILE")
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    labelled = documents_named(documents)[:limit]
    known = gate.read_floors(floors, labelled) if floors else {}
    if floors and not known and not raise_floors:
        raise YuqingError(f"{floors} holds no floors", cure="make them of this run's figures with --raise-floors")
    gate.check_engines(known, wanted)
    asked = Wanted(labelled, not local and (whole or any(each.companies for each in labelled)))
    found = run(asked, documents, wanted, out, settings, local=local, adapter=adapter)
    report = figures_of(found)
    misses = (
        gate.misses(known, report["engines"], report["left_out"]) if known else None
    )  # none yet: this run begins them
    path = write(found, report, misses, out)
    if as_json:
        typer.echo(json.dumps({**report, "below_floors": misses}, ensure_ascii=False))
    else:
        typer.echo(path.read_text(encoding="utf-8"))
        typer.echo(f"written: {path}")
    if floors and raise_floors:
        gate.write_floors(floors, gate.raised(known, report["engines"]), labelled)
    if misses:
        for miss in misses:
            typer.echo(miss, err=True)
        raise typer.Exit(1)
