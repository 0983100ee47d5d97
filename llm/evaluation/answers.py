"""What the language model says of labelled documents: asked once, kept line by line, so that an interrupted run goes on."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich.progress import Progress

from llm.analysis.analyze import analyze_document, document_sentiment, version_of
from llm.analysis.client import Completion, LLMClient, QuestionRefused
from llm.analysis.schema import Answer, InvalidAnswer
from llm.analysis.scores import Label
from llm.evaluation.documents import LabelledDocument, companies_digest, content_digest
from llm.inews import DatasetError
from llm.triage.answers import open_to_go_on
from yuqing.contracts import Sentiment
from yuqing.endpoints import llm_endpoint
from yuqing.settings import Settings
from yuqing.telemetry import get_logger, progress
from yuqing.text.sentences import Span

ANSWERS = "answers.jsonl"
ABOUT = "answers.about.json"
TOLD_EVERY_S = 15.0  # of a run whose output goes to a file

log = get_logger(__name__)


class Verdict(BaseModel):
    """What was said of one company of a document."""

    sentiment: Sentiment
    confidence: float
    evidence: tuple[Span, ...]
    grounded: bool


class Kept(BaseModel):
    """A document's answer, `id` being its place; with `error` there was none that can be used.

    A line of it is one of `yuqing sentiment --jsonl`, too. `calls` counts the server's answers, `valid_calls` those that keep to
    the form; `at_s` is when it came, in seconds since the run of this number began.
    """

    id: int
    sentiment: Sentiment = "neutral"
    score: float = 0.0
    confidence: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    calls: int = 0
    valid_calls: int = 0
    run: int = 1
    at_s: float = 0.0
    error: str | None = None

    @property
    def label(self) -> Label:
        """The document's label."""
        return Label(self.sentiment, self.score, self.confidence)


@dataclass(frozen=True)
class Wanted:
    """What is asked of each document: whole answers (with the companies), or the document's sentiment alone."""

    documents: Sequence[LabelledDocument]
    whole: bool


def read_kept(path: Path, documents: int) -> dict[int, Kept]:
    """The answers of a file by their document's place; a last line that was cut off is left out. Raises DatasetError."""
    found: dict[int, Kept] = {}
    # Bytes: a line may be cut off within a character, and splitlines() of a text would take Unicode's separators for ends.
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            kept = Kept.model_validate_json(line)
        except ValidationError:
            if number == len(lines):
                break
            raise DatasetError(f"line {number} of {path} is no answer", cure="remove the file") from None
        if not 0 <= kept.id < documents:
            raise DatasetError(f"{path} answers document {kept.id} of {documents}", cure="name the file of these")
        found[kept.id] = kept
    return found


def claim(folder: Path, about: dict[str, Any]) -> None:
    """Write what the folder's answers belong to, or check that it still holds. Raises DatasetError for those of another run."""
    path = folder / ABOUT
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    differs = [key for key in {**about, **known} if known.get(key) != about.get(key)]
    if differs:
        key = differs[0]
        raise DatasetError(
            f"the answers in {folder} belong to another run: {key} was {known.get(key)!r}, is {about.get(key)!r}",
            cure="give another --out, or remove the folder",
        )


def about_of(wanted: Wanted, served: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """What answers belong to: the documents, with their companies where these are asked about, what was served, the prompt and
    how much of a text it shows.
    """
    companies = {"companies_sha256": companies_digest(wanted.documents)} if wanted.whole else {}
    return {
        "documents": len(wanted.documents),
        "sha256": content_digest(wanted.documents),
        **companies,
        "served": served,
        "whole": wanted.whole,
        "prompt_version": version_of(settings.llm),
        "text_tokens": settings.llm.text_tokens if wanted.whole else settings.llm.label_text_tokens,
    }


_calls: ContextVar[list[bool]] = ContextVar("_calls")  # of the document that this task asks about


def _keeps_to_the_form(completion: Completion, schema: dict[str, Any]) -> bool:
    if completion.cut:
        return False
    try:
        if "companies" in schema["properties"]:
            Answer.model_validate_json(completion.text)
        else:
            json.loads(completion.text)
    except ValueError:
        return False
    return True


class _Watched(LLMClient):
    """A client that notes of each answer whether it keeps to the form."""

    async def complete(self, messages: Sequence[dict[str, str]], schema: dict[str, Any], max_tokens: int) -> Completion:
        completion = await super().complete(messages, schema, max_tokens)
        _calls.get().append(_keeps_to_the_form(completion, schema))
        return completion


async def _one(client: LLMClient, place: int, document: LabelledDocument, whole: bool, settings: Settings) -> Kept:
    calls: list[bool] = []
    _calls.set(calls)
    try:
        if whole:
            companies = [each.company for each in document.companies]
            found = await analyze_document(client, document.title, document.text, companies, settings.llm)
            verdicts = tuple(
                Verdict(
                    sentiment=each.sentiment,
                    confidence=each.confidence,
                    evidence=tuple((quote.start, quote.end) for quote in each.evidence),
                    grounded=each.grounded,
                )
                for each in found.companies
            )
            label = Label(found.sentiment, found.score, found.confidence)
        else:
            label, verdicts = await document_sentiment(client, document.title, document.text, settings.llm), ()
    except (InvalidAnswer, QuestionRefused, ValueError) as error:
        return Kept(id=place, calls=len(calls), valid_calls=sum(calls), error=str(error))
    return Kept(id=place, **asdict(label), verdicts=verdicts, calls=len(calls), valid_calls=sum(calls))


class _Told:
    """How far the questions are: a bar on a terminal, a line of the log now and then elsewhere."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar, self._total, self._done = bar, total, 0
        self._task = bar.add_task("asking", total=total)
        self._began = self._told = time.monotonic()

    def answered(self) -> None:
        """One document more has its answer."""
        self._done += 1
        now = time.monotonic()
        left = round((now - self._began) / self._done * (self._total - self._done))
        self._bar.update(self._task, completed=self._done, description=f"{timedelta(seconds=left)} left")
        if self._bar.disable and now - self._told >= TOLD_EVERY_S:
            self._told = now
            log.info("answered", documents=self._done, left=self._total - self._done, seconds_left=left)


async def _ask(wanted: Wanted, folder: Path, settings: Settings) -> None:
    async with _Watched(llm_endpoint(settings), settings.llm) as client:
        claim(folder, about_of(wanted, vars(await client.served()), settings))
        known = read_kept(folder / ANSWERS, len(wanted.documents))
        run = 1 + max((each.run for each in known.values()), default=0)
        room, began = asyncio.Semaphore(settings.llm.concurrency), time.monotonic()
        left = [place for place in range(len(wanted.documents)) if place not in known]
        with open_to_go_on(folder / ANSWERS) as file, progress() as bar:
            told = _Told(bar, len(left))

            async def one(place: int) -> None:
                async with room:
                    kept = await _one(client, place, wanted.documents[place], wanted.whole, settings)
                placed = kept.model_copy(update={"run": run, "at_s": round(time.monotonic() - began, 3)})
                file.write(placed.model_dump_json(exclude_none=True) + "\n")
                file.flush()
                told.answered()

            tasks = [asyncio.create_task(one(place)) for place in left]
            try:
                await asyncio.gather(*tasks)
            finally:  # when one finds the server away the others must not write into a closed file
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def ask_server(wanted: Wanted, folder: Path, settings: Settings) -> dict[int, Kept]:
    """The server's answer to every document, from the folder or asked now and kept there.

    Raises LLMAway, LLMRefused; DatasetError when the folder holds answers of another model, prompt or file.
    """
    asyncio.run(_ask(wanted, folder, settings))
    return read_kept(folder / ANSWERS, len(wanted.documents))


def documents_per_second(kept: Sequence[Kept]) -> float:
    """Answers over the seconds in which they came, all runs together; 0 for none."""
    ends: dict[int, float] = {}
    for each in kept:
        ends[each.run] = max(ends.get(each.run, 0.0), each.at_s)
    seconds = sum(ends.values())
    return round(len(kept) / seconds, 3) if seconds else 0.0
