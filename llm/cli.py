"""`yuqing analyze`, `yuqing sentiment` and `yuqing llm ...`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from pydantic import BaseModel

from llm import adapters_cli
from llm.entity import cli as entities
from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings

app = typer.Typer(help="The language model: serve, merge, train.", no_args_is_help=True)
app.add_typer(adapters_cli.app, name="adapters")
app.command("sync")(adapters_cli.sync)
app.add_typer(entities.app, name="entities")

Jsonl = Annotated[str | None, typer.Option("--jsonl", help='Answer JSON lines of this file; "-": of standard input.')]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ENGINES = ("llm", "triage", "ensemble")


class _Text(BaseModel):
    """A line of `yuqing sentiment --jsonl`."""

    title: str = ""
    text: str


class _Question(_Text):
    """A line of `yuqing analyze --jsonl`."""

    companies: list[str] = []


@contextmanager
def _source(path: str) -> Any:
    """The lines of a file; None for standard input. Raises YuqingError when there is no such file."""
    if path == "-":
        yield None
        return
    try:
        with Path(path).open(encoding="utf-8", errors="surrogateescape") as file:
            yield file
    except OSError as error:
        raise YuqingError(f"{path} cannot be read: {error.strerror}", cure='give a file, or "-"') from None


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Any]:
    """A client of a server that answers. Raises LLMAway, LLMRefused, NotConfigured."""
    from llm.analysis.client import LLMClient
    from yuqing.endpoints import llm_endpoint

    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        await client.served()
        yield client


Ask = Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]


def _answer(path: str, settings: Settings, ask: Ask) -> int:
    from yuqing.jsonlines import answer_lines_concurrently

    async def run(source: TextIO | None) -> int:
        async with _client(settings) as client:
            return await answer_lines_concurrently(
                lambda record: ask(client, record), settings.llm.concurrency, source=source
            )

    with _source(path) as source:
        return asyncio.run(run(source))


async def _analyse_line(client: Any, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    from llm.analysis.analyze import analyze_document
    from llm.analysis.prompts import Company

    question = _Question.model_validate(record)
    companies = [Company(name) for name in dict.fromkeys(question.companies) if name.strip()]
    result = await analyze_document(client, question.title, question.text, companies, settings.llm)
    verdicts = [
        {
            "company": company.company,
            "sentiment": company.sentiment,
            "score": company.score,
            "confidence": company.confidence,
            "risk_level": company.risk_level,
            "risk_types": list(company.risk_types),
            "evidence": [item.model_dump(include={"quote", "start", "end"}) for item in company.evidence],
            "grounded": company.grounded,
        }
        for company in result.companies
    ]
    return {
        "sentiment": result.sentiment,
        "score": result.score,
        "confidence": result.confidence,
        "category": result.category,
        "summary": result.summary,
        "keywords": list(result.keywords),
        "verdicts": verdicts,
    }


async def _llm_label(client: Any, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    from llm.analysis.analyze import document_sentiment

    line = _Text.model_validate(record)
    return vars(await document_sentiment(client, line.title, line.text, settings.llm))


def _ensemble_of(settings: Settings) -> Ask:
    """What answers a line by both engines. Raises TriageError when no weights were fitted for these two."""
    from llm.analysis.analyze import document_sentiment
    from llm.triage import ensemble, model
    from llm.triage.answers import parts_of

    weights, triage = ensemble.load(parts_of(settings)), model.load()

    async def ask(client: Any, record: dict[str, Any]) -> dict[str, Any]:
        line = _Text.model_validate(record)
        asked = await document_sentiment(client, line.title, line.text, settings.llm)
        read = triage.probabilities(line.title, line.text)
        return vars(model.label_of(weights.combine(read, model.probabilities_of(asked))))

    return ask


def triage_line() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What answers a line of `yuqing sentiment --engine triage`. Raises TriageError."""
    from llm.triage.model import load

    triage = load()

    def handle(record: dict[str, Any]) -> dict[str, Any]:
        line = _Text.model_validate(record)
        if not line.title.strip() and not line.text.strip():
            raise ValueError("the document has neither a title nor a text")
        return vars(triage.label(line.title, line.text))

    return handle


def _answer_by_triage(path: str) -> int:
    from yuqing.jsonlines import answer_lines

    with _source(path) as source:
        return answer_lines(triage_line(), source)


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
        raise typer.Exit(_answer(jsonl, settings, lambda client, record: _analyse_line(client, record, settings)))
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
        raise typer.Exit(_answer_by_triage(jsonl))
    if engine == "ensemble":
        raise typer.Exit(_answer(jsonl, settings, _ensemble_of(settings)))
    raise typer.Exit(_answer(jsonl, settings, lambda client, record: _llm_label(client, record, settings)))


Answers = Annotated[
    Path, typer.Option(help="The language model's answers on the split; asked of the server where they are missing.")
]


@app.command("train-triage")
def train_triage(
    out: Annotated[Path | None, typer.Argument(help="Folder of the model; default: the shipped one.")] = None,
) -> None:
    """Train triage on INEWS's train split; prints its figures on the dev split."""
    from llm.triage.model import SHIPPED
    from llm.triage.train import train

    card = train(out or SHIPPED)
    typer.echo(json.dumps({"sha256": card["sha256"], "bytes": card["bytes"], **card["metrics"]["dev"]}))


@app.command("thresholds")
def thresholds(answers: Answers = Path("inews-dev.jsonl"), as_json: Json = False) -> None:
    """The cascade's trade-off on INEWS's dev split: share spared against accuracy, for the settings llm.triage_*."""
    from llm import inews
    from llm.triage.answers import llm_probabilities, triage_probabilities
    from llm.triage.thresholds import trade_offs

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    documents = inews.load("dev")
    read, asked = triage_probabilities(documents), llm_probabilities(documents, answers, settings)
    rows = trade_offs(read, asked, [document.sentiment for document in documents])
    if as_json:
        typer.echo(json.dumps([vars(row) | {"loss": row.loss} for row in rows]))
        return
    typer.echo("triage_neutral  triage_negative  spared  right there  cascade  llm alone   loss")
    for row in rows:
        typer.echo(
            f"{row.neutral:14.2f}  {row.negative:15.2f}  {row.spared:6.3f}  {row.spared_accuracy:11.3f}  "
            f"{row.cascade_accuracy:7.3f}  {row.llm_accuracy:9.3f}  {row.loss:+.3f}"
        )


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


@app.command("fit-ensemble")
def fit_ensemble(answers: Answers = Path("inews-dev.jsonl")) -> None:
    """Fit the ensemble's weights on INEWS's dev split; prints its figures beside its parts'."""
    from llm.triage.answers import fit_on_dev

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    typer.echo(json.dumps(fit_on_dev(answers, settings)))


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8001,
    model: Annotated[
        Path | None, typer.Option(help="A model folder; default: base and adapter of the settings.")
    ] = None,
) -> None:
    """Serve the language model with vLLM (OpenAI-compatible); the API key comes from YUQING_LLM__API_KEY."""
    from llm.serve import serve as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    run(settings, host, port, model)


@app.command("ready")
def ready(
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is.")] = 0,
) -> None:
    """Exit with 0 when the server analyses (what a start-up probe asks), else with 1; the first question warms it up."""
    import time

    from yuqing.embedded.vllm import is_ready
    from yuqing.endpoints import llm_endpoint

    endpoint = llm_endpoint(get_settings())
    deadline = time.monotonic() + timeout
    while not is_ready(endpoint.url, endpoint.api_key, endpoint.model):
        if time.monotonic() >= deadline:
            typer.echo(f"{endpoint.url} does not analyse yet", err=True)
            raise typer.Exit(1)
        time.sleep(1)


@app.command("merge")
def merge() -> None:
    """Merge the adapter that a server would serve now into its base, unless that was done; prints the folder."""
    from llm.merge import base_path, merged_path
    from llm.registry import to_serve

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    adapter = to_serve(settings)
    typer.echo(merged_path(settings, adapter) if adapter else base_path(settings))


@app.command("dataset")
def dataset(
    out: Annotated[Path, typer.Argument(help="JSON-lines file to write.")],
    full: Annotated[int, typer.Option(help="Samples with the whole answer.")] = 90,
    labels: Annotated[int, typer.Option(help="Samples with the sentiment only.")] = 900,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 7,
) -> None:
    """Build a training set from INEWS: human sentiment labels, weak labels for the rest."""
    from llm.dataset import inews_training_set, write_samples

    samples = inews_training_set(full=full, labels=labels, seed=seed)
    typer.echo(f"{len(samples)} samples, sha256 {write_samples(samples, out)}")


@app.command("train")
def train(
    samples: Annotated[Path, typer.Argument(help="JSON lines of `yuqing llm dataset`.")],
    out: Annotated[Path, typer.Argument(help="Folder of the adapter; holds the checkpoint too.")],
    dev: Annotated[int, typer.Option(help="Documents of INEWS's dev split to evaluate on at the end.")] = 150,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps; again to go on.")] = None,
) -> None:
    """Train a LoRA adapter on the settings' base model; goes on from its checkpoint when it was stopped."""
    from llm.adapters import file_digest, write_card
    from llm.analysis.prompts import PROMPT_VERSION
    from llm.dataset import dev_samples, read_samples
    from llm.merge import base_path, base_sha256
    from llm.train import TrainConfig
    from llm.train import train as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    run(base_path(settings), read_samples(samples), dev_samples(dev), out, TrainConfig(), max_steps=max_steps)
    data = {"name": samples.name, "sha256": file_digest(samples)}
    card = write_card(out, settings.llm.base, base_sha256(settings), PROMPT_VERSION, data)
    typer.echo(json.dumps(card["metrics"]))


@app.command("convert-baichuan")
def convert_baichuan(
    source: Annotated[
        Path, typer.Argument(help="Folder of a Baichuan-7B or Baichuan2-7B checkpoint, or of a LoRA on it.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to make; one that is there already is checked.")],
) -> None:
    """Convert a Baichuan checkpoint, or a LoRA adapter trained on one, to the layout of LLaMA (docs/baichuan.md)."""
    from llm.baichuan.adapter import convert_adapter, is_adapter
    from llm.baichuan.convert import convert

    telemetry.configure(get_settings().telemetry, stage="llm")
    if is_adapter(source):
        typer.echo(f"{target}: LoRA on {', '.join(convert_adapter(source, target)['target_modules'])}")
        return
    manifest = convert(source, target)
    typer.echo(f"{target}: {manifest['model']}, {manifest['number_type']}, {len(manifest['files'])} files")
