"""One document of the database: read by triage or the language model, or taken over from an earlier reprint."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncEngine

from llm import records
from llm.analysis.analyze import AnalysisResult, analyze_document, version_of
from llm.analysis.circuit import Circuit
from llm.analysis.client import LLMClient
from llm.analysis.schema import InvalidAnswer
from llm.entity.judge import check_weights
from llm.inheritance import hand_down, inherit, source_of
from llm.locks import DocumentLocks
from llm.records import Subject
from llm.triage.cascade import triage_document, triage_lineage
from llm.triage.model import load as load_triage
from llm.usage import check_budget
from yuqing.contracts import Lineage
from yuqing.settings import Settings

Outcome = Literal["analysed", "triaged", "inherited", "already", "superseded", "unmentioned"]
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
        check_weights(settings.llm)
        self._triage = load_triage() if settings.llm.triage else None
        self._locks = locks
        self.answers = Circuit.from_settings("the language model", settings.llm)

    async def _read(self, doc_id: str) -> tuple[Subject | None, str]:
        async with self._pool.connect() as connection:
            subject = await records.read_subject(connection, doc_id)
            return subject, await source_of(connection, subject) if subject and subject.companies else doc_id

    async def analyse(self, doc_id: str, content_hash: str | None = None) -> Outcome:
        """Analyse the document's current version, which must be the one of `content_hash` if that is given.

        A reprint that says the same of its companies as an earlier document of its group takes over that one's verdicts.
        Raises LLMAway, LLMRefused, InvalidAnswer, BudgetSpent, HeldElsewhere.
        """
        subject, earliest = await self._read(doc_id)
        if subject is None or content_hash not in (None, subject.content_hash):
            return "superseded"
        if not subject.companies:
            return "unmentioned"
        read = self._by_triage(subject)
        if earliest != doc_id:
            await self.analyse(earliest)
        if isinstance(read, Judged) and (
            await self._is_read_by_model(doc_id) or await self._is_read_by_model(earliest)
        ):
            read = "read before"  # triage must not take the place of what the language model has said
        lineage = read.lineage if isinstance(read, Judged) else await self._llm_lineage(subject)
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

    async def _is_read_by_model(self, doc_id: str) -> bool:
        async with self._pool.connect() as connection:
            return await records.is_read_by_model(connection, doc_id)

    async def _llm_lineage(self, subject: Subject) -> Lineage:
        served = await self._client.served()
        return Lineage(
            engine=served.engine,
            model=served.model,
            adapter=served.adapter,
            prompt_version=version_of(self._settings.llm),
            cleaning_version=subject.cleaning_version,
        )

    async def _settle(self, subject: Subject, earliest: str, lineage: Lineage, read: Judged | str) -> Outcome:
        async with self._pool.begin() as connection:
            if await records.is_analysed(connection, subject, lineage):
                return "already"
            if earliest != subject.doc_id:
                copied = await inherit(connection, subject, earliest, lineage)
                if copied is not None:
                    return "inherited" if copied else "superseded"
        judged = read if isinstance(read, Judged) else await self._ask(subject, lineage, read)
        async with self._pool.begin() as connection:
            if not await records.write_result(connection, subject, judged.result, judged.lineage):
                return "superseded"
            await hand_down(connection, subject.doc_id, judged.lineage)
        return "triaged" if judged is read else "analysed"

    async def _ask(self, subject: Subject, lineage: Lineage, reason: str) -> Judged:
        """The language model's analysis, with what it cost. Raises LLMAway, LLMRefused, InvalidAnswer, BudgetSpent."""
        async with self._pool.connect() as connection:
            await check_budget(connection, self._settings.llm.daily_tokens)
        companies = list(subject.companies.values())
        # Many documents in a row whose answers cannot be used are the model's fault, one again and again is its own.
        with self.answers.trial() as trial:
            try:
                result = await analyze_document(
                    self._client, subject.title, subject.text, companies, self._settings.llm, subject.segments
                )
            except InvalidAnswer as error:
                trial.failed(error.message, subject.doc_id)
                raise
            trial.succeeded()
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
