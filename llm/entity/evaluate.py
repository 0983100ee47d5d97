"""Company-level sentiment on labelled documents: macro-F1 against copying the document's label, evidence, calibration."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from llm.analysis.client import LLMClient
from llm.analysis.schema import InvalidAnswer
from llm.analysis.scores import Label
from llm.entity import opinion
from llm.entity.calibration import expected_calibration_error
from llm.entity.judge import OwnClauses, label_text, own_clauses, reread
from llm.entity.opinion import Floats
from llm.evaluation.documents import LabelledCompany, LabelledDocument, read_documents
from llm.inews import DatasetError
from llm.triage.answers import note, open_to_go_on
from llm.triage.evaluate import measure
from llm.triage.model import load as load_triage
from llm.triage.model import probabilities_of
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.endpoints import llm_endpoint
from yuqing.settings import Settings
from yuqing.text.sentences import Span


@dataclass(frozen=True)
class Answered:
    """The language model's labels of a document and of each company's own clauses; None where there are none."""

    document: Label
    clauses: tuple[Label | None, ...]


def load(path: Path) -> list[LabelledDocument]:
    """The documents of a JSON-lines file (llm/evaluation/documents.py), which label companies. Raises DatasetError."""
    found = read_documents(path)
    if not any(document.companies for document in found):
        raise DatasetError(f"{path} labels no company", cure="give each document its companies with their sentiment")
    return found


def read_answers(path: Path) -> dict[str, Answered]:
    """The language model's answers that a file holds; a line that was cut off at its end is left out."""
    found: dict[str, Answered] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found[record["id"]] = Answered(
            Label(*record["document"]), tuple(Label(*each) if each else None for each in record["clauses"])
        )
    return found


def _numbers(label: Label | None) -> list[Any] | None:
    return [label.sentiment, label.score, label.confidence] if label else None


def write_answer(file: TextIO, identity: str, answered: Answered) -> None:
    """Append a document's answers as the line that `read_answers` reads."""
    clauses = [_numbers(each) for each in answered.clauses]
    file.write(json.dumps({"id": identity, "document": _numbers(answered.document), "clauses": clauses}) + "\n")
    file.flush()


async def _ask(documents: Sequence[LabelledDocument], settings: Settings, path: Path, known: set[str]) -> None:
    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        served = await client.served()
        note(path, served.adapter, served.model, asking=settings)
        with open_to_go_on(path) as file:

            async def one(document: LabelledDocument) -> None:
                own = own_clauses(document.title, document.text, [each.company for each in document.companies])
                try:
                    whole, _ = await label_text(client, document.title, document.text, settings.llm)
                    alone, _ = await reread(client, own, settings.llm)
                except InvalidAnswer:
                    return  # asked again the next time
                write_answer(file, document.id, Answered(whole, tuple(alone)))

            await asyncio.gather(*(one(document) for document in documents if document.id not in known))


def answers_of(documents: Sequence[LabelledDocument], path: Path, settings: Settings) -> dict[str, Answered]:
    """The language model's answers: from the file, or asked of the server and then in the file.

    Raises LLMAway, LLMRefused; DatasetError when some documents got no usable answer.
    """
    known = read_answers(path)
    if any(document.id not in known for document in documents):
        asyncio.run(_ask(documents, settings, path, set(known)))
        known = read_answers(path)
    missing = [document.id for document in documents if document.id not in known]
    if missing:
        raise DatasetError(f"{len(missing)} documents have no usable answer, {missing[0]} first", cure="run it again")
    return known


@dataclass(frozen=True)
class Judged:
    """A company as it was labelled, the features of its readings, and where its clauses are."""

    document: LabelledDocument
    place: int
    own: OwnClauses
    features: Floats
    alone: Label | None

    @property
    def human(self) -> LabelledCompany:
        """The company with its labels."""
        return self.document.companies[self.place]


def readings(documents: Sequence[LabelledDocument], answers: dict[str, Answered] | None) -> list[Judged]:
    """Every company of the documents with its features; with the language model's where `answers` are given."""
    triage = load_triage()
    found = []
    for document in documents:
        own = own_clauses(document.title, document.text, [each.company for each in document.companies])
        for place, said in enumerate(own.said):
            alone = answers[document.id].clauses[place] if answers is not None else None
            read = opinion.Readings(said, triage.probabilities("", said), probabilities_of(alone) if alone else None)
            found.append(Judged(document, place, own, opinion.features(read), alone))
    return found


def _copied(judged: Sequence[Judged], label: dict[str, Sentiment]) -> float:
    return measure([each.human.sentiment for each in judged], [label[each.document.id] for each in judged]).macro_f1


def evidence_shares(labelled: Sequence[Sequence[Span]], chosen: Sequence[Sequence[Span]]) -> dict[str, float]:
    """Shares: companies with a quote in a labelled span, quotes in labelled spans, companies with any quote.

    For each company the spans that were labelled as its proof, and those that were chosen. Raises ValueError for none.
    """

    def inside(span: Span, spans: Sequence[Span]) -> bool:
        return any(start <= span[0] < end for start, end in spans)

    pairs = list(zip(labelled, chosen, strict=True))
    if not pairs:
        raise ValueError("no company was judged")
    quotes = [inside(span, proof) for proof, spans in pairs for span in spans]
    return {
        "companies": round(sum(any(inside(span, proof) for span in spans) for proof, spans in pairs) / len(pairs), 4),
        "quotes": round(sum(quotes) / len(quotes), 4) if quotes else 0.0,
        "grounded": round(sum(bool(spans) for _, spans in pairs) / len(pairs), 4),
    }


def evaluate(
    documents: Sequence[LabelledDocument],
    answers: dict[str, Answered] | None = None,
    *,
    model: opinion.Opinion | None = None,
) -> dict[str, Any]:
    """Figures of the verdicts on the companies of these documents: with the language model's answers, or by the rules alone.

    `copied_*` are the macro-F1 of giving every company its document's label: as labelled by hand, by triage, by the model.
    """
    judged = readings(documents, answers)
    used = model or opinion.load("rules" if answers is None else "llm")
    found = used.probabilities(np.array([each.features for each in judged]))
    predicted = [SENTIMENTS[best] for best in found.argmax(1)]
    human = [each.human.sentiment for each in judged]
    chosen = [each.own.evidence(each.place, label) for each, label in zip(judged, predicted, strict=True)]
    triage = load_triage()
    by_triage = {each.id: triage.label(each.title, each.text).sentiment for each in documents}
    report: dict[str, Any] = {
        **asdict(measure(human, predicted)),
        "copied_human": _copied(judged, {each.id: each.sentiment for each in documents}),
        "copied_triage": _copied(judged, by_triage),
        "evidence": evidence_shares([each.human.evidence for each in judged], chosen),
        "ece": expected_calibration_error(
            found.max(1).tolist(), [a == b for a, b in zip(human, predicted, strict=True)]
        ),
    }
    if answers is not None:
        alone = [each.alone or answers[each.document.id].document for each in judged]
        own = measure(human, [label.sentiment for label in alone])
        right = [label.sentiment == truth for label, truth in zip(alone, human, strict=True)]
        report["copied_llm"] = _copied(judged, {each.id: answers[each.id].document.sentiment for each in documents})
        report["llm_on_clauses"] = {
            "macro_f1": own.macro_f1,
            "accuracy": own.accuracy,
            "ece": expected_calibration_error([label.confidence for label in alone], right),
        }
    return report


def fit(documents: Sequence[LabelledDocument], answers: dict[str, Answered] | None) -> opinion.Opinion:
    """Weights for these documents, with or without the language model's answers."""
    judged = readings(documents, answers)
    return opinion.fit(np.array([each.features for each in judged]), [each.human.sentiment for each in judged])
