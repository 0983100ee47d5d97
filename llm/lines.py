"""Texts answered line by line: what `yuqing analyze --jsonl` and `yuqing sentiment` do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel

from yuqing.errors import YuqingError
from yuqing.settings import Settings


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


# What answers one line with a client.
Ask = Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]


def answer(path: str, settings: Settings, ask: Ask) -> int:
    """Answer a file's lines with the server, many at once; the exit status. Raises LLMAway, LLMRefused, NotConfigured."""
    from yuqing.jsonlines import answer_lines_concurrently

    async def run(source: TextIO | None) -> int:
        async with _client(settings) as client:
            return await answer_lines_concurrently(
                lambda record: ask(client, record), settings.llm.concurrency, source=source
            )

    with _source(path) as source:
        return asyncio.run(run(source))


async def analyse_line(client: Any, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The analysis of a line with its companies."""
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


def analyses_of(settings: Settings) -> Ask:
    """What analyses a line. Raises OpinionError when the companies' weights cannot be used."""
    from llm.entity.judge import check_weights

    check_weights(settings.llm)
    return lambda client, record: analyse_line(client, record, settings)


async def llm_label(client: Any, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The language model's sentiment of a line."""
    from llm.analysis.analyze import document_sentiment

    line = _Text.model_validate(record)
    return vars(await document_sentiment(client, line.title, line.text, settings.llm))


def ensemble_of(settings: Settings) -> Ask:
    """What answers a line by both engines. Raises TriageError when no weights were fitted for triage and the adapter that the
    server serves; LLMAway, LLMRefused, NotConfigured.
    """
    from llm.analysis.analyze import document_sentiment
    from llm.triage import ensemble, model
    from llm.triage.answers import parts_of

    async def served() -> str | None:
        async with _client(settings) as client:
            adapter: str | None = (await client.served()).adapter
            return adapter

    ensemble.fitted_for()  # there are some: known before the server is asked
    weights, triage = ensemble.load(parts_of(settings, asyncio.run(served()))), model.load()

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


def answer_by_triage(path: str) -> int:
    """Answer a file's lines by triage alone; the exit status. Raises TriageError."""
    from yuqing.jsonlines import answer_lines

    with _source(path) as source:
        return answer_lines(triage_line(), source)
