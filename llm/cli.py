"""`yuqing analyze`, `yuqing sentiment` and `yuqing llm ...`."""

import asyncio
import json
from datetime import date, datetime
from typing import Annotated

import typer

from llm import adapters_cli, lines, serving_cli
from llm.baichuan import cli as baichuan
from llm.entity import cli as entities
from llm.evaluation import cli as evaluation
from llm.instructions import cli as instructions
from llm.training import cli as training
from llm.triage import cli as triage
from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings

app = typer.Typer(help="The language model: serve, merge, train.", no_args_is_help=True)
app.add_typer(adapters_cli.app, name="adapters")
app.command("sync")(adapters_cli.sync)
app.add_typer(entities.app, name="entities")
app.command("serve")(serving_cli.serve)
app.command("ready")(serving_cli.ready)
app.command("merge")(serving_cli.merge)
app.command("dataset")(instructions.dataset)
app.command("train")(training.train)
app.command("evaluate")(evaluation.evaluate)
app.command("train-triage")(triage.train_triage)
app.command("thresholds")(triage.thresholds)
app.command("fit-ensemble")(triage.fit_ensemble)
app.command("convert-baichuan")(baichuan.convert_baichuan)

Jsonl = Annotated[str | None, typer.Option("--jsonl", help='Answer JSON lines of this file; "-": of standard input.')]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ENGINES = ("llm", "triage", "ensemble")


@app.command("analyze")
def analyze(
    follow: Annotated[bool, typer.Option("--follow", help="Stay and take new documents as they come.")] = False,
    jsonl: Jsonl = None,
    as_json: Json = False,
    replay: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Analyse this UTC day's documents again; print what would change."),
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="With --replay: what the server must be serving.")] = None,
    write: Annotated[bool, typer.Option("--write", help="With --replay: replace the stored analyses.")] = False,
) -> None:
    """Analyse the documents that wait, then exit; or answer JSON lines {"id","title","text","companies":[...]}."""
    if replay is None and (adapter is not None or write):
        raise YuqingError("--adapter and --write belong to --replay", cure="give --replay YYYY-MM-DD")
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    if jsonl is not None:
        raise typer.Exit(lines.answer(jsonl, settings, lines.analyses_of(settings)))
    if replay is not None:
        _replay(settings, replay.date(), adapter, write, as_json)
        return
    from llm.worker import work

    telemetry.serve_metrics(settings.telemetry.metrics_port)
    counts = asyncio.run(work(settings, follow=follow))
    if as_json:
        typer.echo(json.dumps(counts, ensure_ascii=False))
    else:
        done = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()) if count)
        typer.echo(f"documents: {done or 'none waited'}")
    if counts.get("waiting"):
        from llm.usage import BudgetSpent

        raise BudgetSpent(
            f"{counts['waiting']} documents wait for the next UTC day: the budget of {settings.llm.daily_tokens} tokens is spent",
            cure="raise YUQING_LLM__DAILY_TOKENS to have them analysed today",
        )
    if counts["failed"]:
        raise typer.Exit(1)


def _replay(settings: Settings, day: date, adapter: str | None, write: bool, as_json: bool) -> None:
    from llm.replay import replay

    found = asyncio.run(replay(settings, day, adapter=adapter, write=write))
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        for change in found.changes:
            what = f"{change.company}: {change.field}" if change.company else "document"
            before = "none" if change.before is None else change.before
            typer.echo(f"{change.doc_id}  {what}  {before} -> {change.after}  {change.title[:40]}")
        typer.echo(
            f"{found.documents} documents with {found.served}: {len(found.changes)} changes, {found.written} written, "
            f"{found.failed} failed"
        )
    if found.failed:
        raise typer.Exit(1)


@app.command("sentiment")
def sentiment(
    jsonl: Annotated[
        str, typer.Option("--jsonl", help='JSON lines {"id","title","text"} of this file; "-": standard input.')
    ],
    engine: Annotated[str, typer.Option("--engine", help="llm, triage, or ensemble of both.")] = "llm",
) -> None:
    """The sentiment of texts: answers {"id","sentiment","score","confidence"} a line."""
    if engine not in _ENGINES:
        raise YuqingError(f"the engine {engine} is not known", cure=f"use one of {', '.join(_ENGINES)}")
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    if engine == "triage":
        raise typer.Exit(lines.answer_by_triage(jsonl))
    if engine == "ensemble":
        raise typer.Exit(lines.answer(jsonl, settings, lines.ensemble_of(settings)))
    raise typer.Exit(lines.answer(jsonl, settings, lambda client, record: lines.llm_label(client, record, settings)))


@app.command("usage")
def usage(
    days: Annotated[int, typer.Option(min=1, help="UTC days, today among them.")] = 7, as_json: Json = False
) -> None:
    """Verdicts and tokens a company and day."""
    from llm.usage import usage as read
    from yuqing.database.session import engine, transaction

    pool = engine(get_settings())
    try:
        with transaction(pool) as connection:
            rows = read(connection, days)
    finally:
        pool.dispose()
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], ensure_ascii=False))
        return
    for row in rows:
        typer.echo(
            f"{row.day}  {row.tokens:8} tokens  {row.verdicts:6} verdicts ({row.by_triage} by triage, "
            f"{row.inherited} inherited)  {row.company}"
        )
