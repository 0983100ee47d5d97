"""Texts and stored documents put to the language model: now, or by a job that works through a batch.

The answers to a batch are stored one by one, so that a killed gateway costs the texts under way only. While the model is away the
job waits and is tried again.
"""

import asyncio
import json
from typing import Any

import procrastinate
from procrastinate import RetryDecision
from procrastinate.retry import BaseRetryStrategy
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError

from gateway.queries.analyses import open_questions, settle_question, subject_of
from gateway.resources import Gateway
from gateway.stopping import stopped
from yuqing.contracts import Evidence, Lineage, Sentiment
from yuqing.errors import NotConfigured, YuqingError
from yuqing.jobs import Job, job_app, put_back_stalled
from yuqing.telemetry import get_logger

log = get_logger("gateway.analysing")

QUEUE = "gateway-analyses"
ANALYZE_BATCH = "analyze_batch"
# The model's server takes a minute or two to start; a batch is in no hurry.
AWAY_S = 15
RESTART_S = 5.0


class TextVerdict(BaseModel):
    """The verdict on one company; offsets of the evidence point into the text that was sent."""

    company: str
    sentiment: Sentiment
    score: float
    confidence: float
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    grounded: bool


class TextAnalysis(BaseModel):
    """The answer. Documents keep the verdicts that they have."""

    sentiment: Sentiment
    score: float
    confidence: float
    category: str
    summary: str
    keywords: tuple[str, ...]
    verdicts: tuple[TextVerdict, ...]
    lineage: Lineage


class DocumentMissing(YuqingError):
    """The document does not exist, or not for this team."""


async def analyse(gateway: Gateway, team_id: int, question: dict[str, Any]) -> TextAnalysis:
    """The answer to {"title", "text", "companies"} or {"doc_id", "companies"}; without companies those that it mentions.

    Raises DocumentMissing, NotConfigured, ValueError for an empty text, and YuqingError for what the model's server does.
    """
    from llm.analysis.analyze import analyze_now

    companies: dict[str, tuple[str, ...]] = dict.fromkeys(question["companies"], ())
    title, text = question["title"], question["text"]
    if doc_id := question.get("doc_id"):
        async with gateway.reading.connect() as connection:
            found = await subject_of(connection, team_id, doc_id)
        if found is None:
            raise DocumentMissing(f"document {doc_id} does not exist")
        title, text = found.title, found.text
        companies = {name: found.companies.get(name, ()) for name in companies} or found.companies
    result, lineage = await analyze_now(gateway.settings, title, text, companies)
    verdicts: tuple[Any, ...] = result.companies
    return TextAnalysis(
        sentiment=result.sentiment,
        score=result.score,
        confidence=result.confidence,
        category=result.category,
        summary=result.summary,
        keywords=result.keywords,
        verdicts=tuple(TextVerdict.model_validate(verdict, from_attributes=True) for verdict in verdicts),
        lineage=lineage,
    )


def batch_job(batch_id: int) -> Job:
    """The job to defer in the transaction that stores the batch."""
    return Job(ANALYZE_BATCH, QUEUE, {"batch_id": batch_id}, queueing_lock=f"{ANALYZE_BATCH}:{batch_id}")


async def analyse_batch(gateway: Gateway, batch_id: int) -> None:
    """Answer the questions of a batch that have not been tried. Raises LLMAway, NotConfigured: the rest waits."""
    from llm.analysis.analyze import LLMAway

    at_once = gateway.settings.gateway.analyses_at_once

    async def one(team_id: int, place: int, question: dict[str, Any]) -> None:
        answer, problem = None, None
        try:
            found = await analyse(gateway, team_id, question)
            # PostgreSQL keeps no NUL in JSON.
            answer = json.loads(found.model_dump_json().replace("\\u0000", ""))
        except (LLMAway, NotConfigured):
            raise
        except (YuqingError, ValueError) as error:
            problem = {"detail": error.message if isinstance(error, YuqingError) else str(error)}
        async with gateway.database.begin() as connection:
            await settle_question(connection, batch_id, place, answer, problem)

    while True:
        async with gateway.reading.connect() as connection:
            team_id, questions = await open_questions(connection, batch_id, at_once)
        if not questions:
            return
        # All of them end before the error of one is told: a job that is put back begins when nothing of it runs.
        ended = await asyncio.gather(*(one(team_id, *question) for question in questions), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error


class _Retry(BaseRetryStrategy):
    """The model or the database being away is no fault of the batch, and neither is a gateway that is told to stop."""

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> RetryDecision | None:
        from llm.analysis.analyze import LLMAway

        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, (LLMAway, NotConfigured, DBAPIError, OSError)):
            return RetryDecision(retry_in={"seconds": AWAY_S})
        return None


async def _watch_stalled(app: procrastinate.App, gateway: Gateway) -> None:
    while True:
        await put_back_stalled(app, gateway.settings)
        await asyncio.sleep(gateway.settings.jobs.stalled_after_s)


async def analyse_pending(gateway: Gateway) -> None:
    """Work the queue of batches until cancelled; when the database goes away, try again until it is back."""
    settings = gateway.settings
    while True:
        app = job_app(settings)

        @app.task(name=ANALYZE_BATCH, queue=QUEUE, retry=_Retry())
        async def analyze_batch(batch_id: int) -> None:
            await analyse_batch(gateway, batch_id)

        try:
            async with app.open_async():
                stalled = asyncio.create_task(_watch_stalled(app, gateway))
                try:
                    await app.run_worker_async(
                        queues=[QUEUE],
                        concurrency=1,
                        install_signal_handlers=False,
                        delete_jobs="successful",
                        shutdown_graceful_timeout=0,  # a batch may take an hour; it goes on where it was
                        update_heartbeat_interval=settings.jobs.heartbeat_s,
                        stalled_worker_timeout=settings.jobs.stalled_after_s,
                    )
                finally:
                    await stopped(stalled)
        except (procrastinate.exceptions.ProcrastinateException, YuqingError, OSError) as error:
            log.warning("the queue of analyses is away", reason=str(error))
        await asyncio.sleep(RESTART_S)
