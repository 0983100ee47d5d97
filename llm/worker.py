"""The analysis worker: takes jobs {doc_id, content_hash} from the queue and writes analyses and verdicts.

Everything that it writes for a document is one transaction under the document's own keys, so that a job which is done
twice (after kill -9, say) writes the same rows once.
"""

import asyncio
import random
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import procrastinate
from procrastinate import RetryDecision
from procrastinate.retry import BaseRetryStrategy
from prometheus_client import Counter
from sqlalchemy.exc import OperationalError

from llm.analysis.circuit import Circuit
from llm.analysis.client import CircuitOpen, LLMAway, LLMClient, LLMRefused, QuestionRefused
from llm.analysis.schema import InvalidAnswer
from llm.analyst import Analyst
from llm.locks import DocumentLocks, HeldElsewhere
from llm.usage import BudgetSpent, until_tomorrow
from yuqing.database.session import async_engine, away
from yuqing.endpoints import llm_endpoint
from yuqing.jobs import ANALYZE, job_app, retry, run_pending
from yuqing.settings import Settings
from yuqing.telemetry import get_logger, progress

log = get_logger(__name__)

_DOCUMENTS = Counter("yuqing_documents_analysed_total", "Documents by how their job ended", ["outcome"])
_SOON_S = 2


def _is_away(error: BaseException) -> bool:
    """Whether a service is to blame, and not the document."""
    if isinstance(error, LLMRefused):
        return not isinstance(error, QuestionRefused)
    return isinstance(error, (LLMAway, OperationalError))


class _Retry(BaseRetryStrategy):
    """A job is not to blame when a service is away or another worker has its document: it goes back. Others have their tries.

    procrastinate counts each time that a job went back as a try, so the tries that count are counted here, and anew by
    each worker.
    """

    def __init__(self, settings: Settings, answers: Circuit) -> None:
        self._settings = settings
        self._others = retry(settings)
        self._answers = answers
        self._tries: Counts[int] = Counts()

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> RetryDecision | None:
        if isinstance(exception, BudgetSpent):
            return RetryDecision(retry_in={"seconds": until_tomorrow(datetime.now(UTC))})
        if isinstance(exception, InvalidAnswer) and not self._answers.is_closed:
            return self._later(self._answers.seconds)
        if isinstance(exception, CircuitOpen):
            return self._later(exception.seconds)
        if isinstance(exception, LLMRefused) and _is_away(exception):
            return self._later(self._settings.llm.circuit_pause_s)
        if _is_away(exception) or isinstance(exception, HeldElsewhere):
            return RetryDecision(retry_in={"seconds": _SOON_S})
        tries = self._tries[job.id]
        self._tries[job.id] += 1
        return self._others.get_retry_decision(exception=exception, job=job.evolve(attempts=tries))

    def _later(self, seconds: float) -> RetryDecision:
        """After a pause and a little, so that not all of a long queue comes back at its end."""
        return RetryDecision(retry_in={"seconds": _SOON_S + round(seconds * random.uniform(1, 2))})  # noqa: S311


async def _waiting(app: procrastinate.App) -> int:
    rows = await app.connector.execute_query_all_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status IN ('todo', 'doing')",
        queue=ANALYZE,
    )
    return int(rows[0]["jobs"])


async def _first_look(client: LLMClient, *, follow: bool) -> None:
    """Log what is served. Raises LLMAway, LLMRefused unless the worker stays: then it may come up later."""
    try:
        served = await client.served()
    except (LLMAway, LLMRefused) as error:
        if not follow:
            raise
        log.warning("what the language model has to read waits", reason=error.message)
        return
    log.info("analysing", engine=served.engine, model=served.model, adapter=served.adapter)


async def work(settings: Settings, *, follow: bool) -> dict[str, int]:
    """Work the queue; returns how many jobs ended in which outcome, and `failed`.

    Without `follow` it returns when no job is left but those that wait for the next day's budget, counted as `waiting`.
    Raises LLMAway, LLMRefused (the jobs stay in the queue; with `follow` it goes on and tries again), DatabaseAway,
    NotConfigured.
    """
    outcomes: Counts[str] = Counts()
    gone: list[Exception] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(LLMClient(llm_endpoint(settings), settings.llm))
        await _first_look(client, follow=follow)
        pool = async_engine(settings)
        stack.push_async_callback(pool.dispose)
        locks = await stack.enter_async_context(DocumentLocks(pool))
        analyst = Analyst(pool, client, locks, settings)
        app = job_app(settings)
        bar = stack.enter_context(progress())
        advance: Callable[[], None] = lambda: None  # noqa: E731
        running: asyncio.Task[Any] | None = None

        @app.task(name=ANALYZE, queue=ANALYZE, retry=_Retry(settings, analyst.answers))
        async def analyse(doc_id: str, content_hash: str) -> None:
            try:
                outcome = await analyst.analyse(doc_id, content_hash)
            except BudgetSpent as error:
                log.warning("a document waits for the next day", doc_id=doc_id, reason=error.message)
                outcomes["waiting"] += not follow
                raise
            except Exception as error:
                if _is_away(error):
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
