"""The analysis worker: takes jobs {doc_id, content_hash} from the queue and writes analyses and verdicts.

Everything that it writes for a document is one transaction under the document's own keys, so that a job which is done
twice (after kill -9, say) writes the same rows once.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import procrastinate
from procrastinate import RetryDecision
from procrastinate.retry import BaseRetryStrategy
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from llm import records
from llm.analysis.analyze import AnalysisResult, analyze_document
from llm.analysis.client import LLMAway, LLMClient
from llm.analysis.prompts import PROMPT_VERSION
from llm.locks import DocumentLocks, HeldElsewhere
from llm.records import Subject
from llm.triage.cascade import triage_document, triage_lineage
from llm.triage.model import load as load_triage
from llm.usage import BudgetSpent, check_budget, until_tomorrow
from yuqing.contracts import Lineage
from yuqing.database.session import async_engine, away
from yuqing.endpoints import llm_endpoint
from yuqing.jobs import ANALYZE, job_app, retry, run_pending
from yuqing.settings import Settings
from yuqing.telemetry import get_logger, progress

log = get_logger(__name__)

Outcome = Literal["analysed", "triaged", "inherited", "already", "superseded", "unmentioned"]
_DOCUMENTS = Counter("yuqing_documents_analysed_total", "Documents by how their job ended", ["outcome"])
_ASKED = Counter("yuqing_llm_documents_total", "Documents that the cascade sent to the model, by reason", ["reason"])
_TOKENS = Counter("yuqing_llm_tokens_total", "Tokens of analyses", ["kind"])
_SECONDS = Histogram("yuqing_analysis_seconds", "Time of a document's analysis", buckets=(1, 2, 5, 10, 20, 40, 80, 160))


@dataclass(frozen=True)
class Judged:
    """An analysis of a document and how it came to be."""

    result: AnalysisResult
    lineage: Lineage


class Analyst:
    """Analyses documents of the database, each at most once at a time."""

    def __init__(self, pool: AsyncEngine, client: LLMClient, locks: DocumentLocks, settings: Settings) -> None:
        self._pool = pool
        self._client = client
        self._settings = settings
        self._triage = load_triage() if settings.llm.triage else None
        self._locks = locks

    async def _read(self, doc_id: str) -> tuple[Subject | None, str]:
        async with self._pool.connect() as connection:
            subject = await records.read_subject(connection, doc_id)
            return subject, await records.first_equal(connection, subject) if subject else doc_id

    async def analyse(self, doc_id: str, content_hash: str | None = None) -> Outcome:
        """Analyse the document's current version, which must be the one of `content_hash` if that is given.

        A reprint with the same title and text as an earlier document of its group takes over that one's verdicts.
        Raises LLMAway, LLMRefused, InvalidAnswer.
        """
        subject, earliest = await self._read(doc_id)
        if subject is None or content_hash not in (None, subject.content_hash):
            return "superseded"
        if not subject.companies:
            return "unmentioned"
        read = self._by_triage(subject)
        if isinstance(read, Judged) and await self._is_read_by_model(subject):
            read = "read before"  # triage must not take the place of what the language model has said
        lineage = read.lineage if isinstance(read, Judged) else await self._llm_lineage(subject)
        if earliest != doc_id:
            await self.analyse(earliest)
        # One at a time for a document: its own job, and the reprints that want its verdicts.
        async with self._locks.only_one(doc_id):
            return await self._settle(subject, earliest, lineage, read)

    async def judge(self, subject: Subject) -> Judged:
        """Triage's analysis or, where the cascade asks for it, the language model's; nothing is written.

        Raises LLMAway, LLMRefused, InvalidAnswer.
        """
        read = self._by_triage(subject)
        return read if isinstance(read, Judged) else await self._ask(subject, await self._llm_lineage(subject), read)

    def _by_triage(self, subject: Subject) -> Judged | str:
        """Triage's analysis, or why the language model has to read the document."""
        if self._triage is None:
            return "no triage"
        companies = list(subject.companies.values())
        found = triage_document(
            self._triage, subject.title, subject.text, companies, self._settings.llm, subject.segments
        )
        if isinstance(found, str):
            return found
        lineage = triage_lineage(self._triage, subject.cleaning_version)
        return Judged(found, lineage.model_copy(update={"latency_ms": found.latency_ms}))

    async def _is_read_by_model(self, subject: Subject) -> bool:
        async with self._pool.connect() as connection:
            return await records.is_read_by_model(connection, subject)

    async def _llm_lineage(self, subject: Subject) -> Lineage:
        served = await self._client.served()
        return Lineage(
            engine=served.engine,
            model=served.model,
            adapter=served.adapter,
            prompt_version=PROMPT_VERSION,
            cleaning_version=subject.cleaning_version,
        )

    async def _settle(self, subject: Subject, earliest: str, lineage: Lineage, read: Judged | str) -> Outcome:
        async with self._pool.begin() as connection:
            if await records.is_analysed(connection, subject, lineage):
                return "already"
            if earliest != subject.doc_id:
                copied = await records.inherit(connection, subject, earliest, lineage)
                if copied is not None:
                    return "inherited" if copied else "superseded"
        judged = read if isinstance(read, Judged) else await self._ask(subject, lineage, read)
        async with self._pool.begin() as connection:
            if not await records.write_result(connection, subject, judged.result, judged.lineage):
                return "superseded"
        return "triaged" if judged is read else "analysed"

    async def _ask(self, subject: Subject, lineage: Lineage, reason: str) -> Judged:
        """The language model's analysis, with what it cost. Raises LLMAway, LLMRefused, InvalidAnswer, BudgetSpent."""
        async with self._pool.connect() as connection:
            await check_budget(connection, self._settings.llm.daily_tokens)
        companies = list(subject.companies.values())
        result = await analyze_document(
            self._client, subject.title, subject.text, companies, self._settings.llm, subject.segments
        )
        _ASKED.labels(reason).inc()
        _TOKENS.labels("prompt").inc(result.prompt_tokens)
        _TOKENS.labels("completion").inc(result.completion_tokens)
        _SECONDS.observe(result.latency_ms / 1000)
        spent = {
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "latency_ms": result.latency_ms,
        }
        return Judged(result, lineage.model_copy(update=spent))


class _Retry(BaseRetryStrategy):
    """A job is not to blame when a service is away or another worker has its document: it goes back. Others have their tries."""

    def __init__(self, settings: Settings) -> None:
        self._others = retry(settings)

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> RetryDecision | None:
        if isinstance(exception, (LLMAway, OperationalError, HeldElsewhere)):
            return RetryDecision(retry_in={"seconds": 2})
        if isinstance(exception, BudgetSpent):
            return RetryDecision(retry_in={"seconds": until_tomorrow(datetime.now(UTC))})
        return self._others.get_retry_decision(exception=exception, job=job)


async def _waiting(app: procrastinate.App) -> int:
    rows = await app.connector.execute_query_all_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status IN ('todo', 'doing')",
        queue=ANALYZE,
    )
    return int(rows[0]["jobs"])


async def work(settings: Settings, *, follow: bool) -> dict[str, int]:
    """Work the queue; returns how many jobs ended in which outcome, and `failed`.

    Without `follow` it returns when no job is left. Raises LLMAway (the jobs stay in the queue; with `follow` it goes on
    and tries again), BudgetSpent (likewise, until the next day), LLMRefused, DatabaseAway, NotConfigured.
    """
    outcomes: Counts[str] = Counts()
    gone: list[Exception] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(LLMClient(llm_endpoint(settings), settings.llm))
        served = await client.served()
        log.info("analysing", engine=served.engine, model=served.model, adapter=served.adapter)
        pool = async_engine(settings)
        stack.push_async_callback(pool.dispose)
        locks = await stack.enter_async_context(DocumentLocks(pool))
        analyst = Analyst(pool, client, locks, settings)
        app = job_app(settings)
        bar = stack.enter_context(progress())
        advance: Callable[[], None] = lambda: None  # noqa: E731
        running: asyncio.Task[Any] | None = None

        @app.task(name=ANALYZE, queue=ANALYZE, retry=_Retry(settings))
        async def analyse(doc_id: str, content_hash: str) -> None:
            try:
                outcome = await analyst.analyse(doc_id, content_hash)
            except (LLMAway, OperationalError, BudgetSpent) as error:
                log.warning("a document has to wait", doc_id=doc_id, reason=str(error).splitlines()[0])
                if running and not follow:
                    if not gone:  # a second cancellation would cut off the jobs that are ending
                        running.cancel()
                    gone.append(error)
                raise
            outcomes[outcome] += 1
            _DOCUMENTS.labels(outcome).inc()
            advance()

        try:
            async with pool.connect():  # the queue's own pool would wait half a minute before it gives up
                pass
            await stack.enter_async_context(app.open_async())
            bar_task = bar.add_task("analyse", total=await _waiting(app))
            advance = lambda: bar.advance(bar_task)  # noqa: E731
            running = asyncio.create_task(
                run_pending(app, [ANALYZE], settings, follow=follow, concurrency=settings.llm.concurrency)
            )
            counts = await running
        except (OperationalError, procrastinate.exceptions.ConnectorException) as error:
            raise away(error) from error
        if gone:
            raise away(gone[0]) if isinstance(gone[0], OperationalError) else gone[0]
        return {**outcomes, "failed": counts.failed}
