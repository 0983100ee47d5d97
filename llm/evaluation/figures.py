"""An engine's figures on labelled documents, each with the interval that holds 95 % of its bootstrap samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.compare import compare
from llm.entity import evaluate as entities
from llm.entity import opinion
from llm.entity.calibration import expected_calibration_error
from llm.evaluation.answers import Kept, Wanted, documents_per_second
from llm.evaluation.documents import LabelledDocument
from llm.triage import ensemble
from llm.triage.answers import Floats, figures, parts_of, triage_probabilities
from llm.triage.evaluate import RESAMPLES, Interval, confusion, interval, measure
from llm.triage.model import TriageError, load, probabilities_of
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.settings import Settings
from yuqing.text.sentences import Span


@dataclass(frozen=True)
class Read:
    """An engine's probabilities of SENTIMENTS (documents, 3) for the documents at these places, and its further figures."""

    places: list[int]
    probabilities: Floats
    further: dict[str, Any]

    def labels(self) -> list[Sentiment]:
        """The most probable label of each."""
        return [SENTIMENTS[best] for best in self.probabilities.argmax(1)]


def share(hits: int, of: int) -> tuple[float, Interval]:
    """A share and its interval: resampling `of` cases is one draw of a binomial. Raises ValueError for none."""
    if not of:
        raise ValueError("a share of nothing")
    drawn = np.random.default_rng(7).binomial(of, hits / of, RESAMPLES) / of
    return round(hits / of, 4), interval(drawn.tolist())


def _ece_interval(confidence: Floats, right: Sequence[bool]) -> Interval:
    chance, hits = np.random.default_rng(7), np.array(right)
    drawn = (chance.integers(0, len(hits), len(hits)) for _ in range(RESAMPLES))
    return interval([expected_calibration_error(confidence[rows].tolist(), hits[rows].tolist()) for rows in drawn])


def _shares(named: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (hits, of) in named.items():
        found[name], found[f"{name}_interval"] = share(hits, of)
    return found


def _company_figures(documents: Sequence[LabelledDocument], said: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Figures of the verdicts on the documents' companies, in their order; {} without a company."""
    pairs = [
        (human, verdict)
        for item, verdicts in zip(documents, said, strict=True)
        for human, verdict in zip(item.companies, verdicts, strict=True)
    ]
    if not pairs:
        return {}
    human, labels = [each.sentiment for each, _ in pairs], [verdict.sentiment for _, verdict in pairs]
    measured = measure(human, labels)
    right = [a == b for a, b in zip(human, labels, strict=True)]
    confidence = np.array([verdict.confidence for _, verdict in pairs])
    found: dict[str, Any] = {
        "companies": len(pairs),
        "company_accuracy": measured.accuracy,
        "company_accuracy_interval": measured.accuracy_interval,
        "company_macro_f1": measured.macro_f1,
        "company_macro_f1_interval": measured.macro_f1_interval,
        "company_ece": expected_calibration_error(confidence.tolist(), right),
        "company_ece_interval": _ece_interval(confidence, right),
        **_shares({"grounded": (sum(verdict.grounded for _, verdict in pairs), len(pairs))}),
    }
    if any(each.evidence for each, _ in pairs):
        chosen: list[Sequence[Span]] = [verdict.evidence for _, verdict in pairs]
        shares = entities.evidence_shares([each.evidence for each, _ in pairs], chosen)
        found |= {"evidence_companies": shares["companies"], "evidence_quotes": shares["quotes"]}
    return found


@dataclass(frozen=True)
class _RuleVerdict:
    sentiment: Sentiment
    confidence: float
    evidence: Sequence[Span]

    @property
    def grounded(self) -> bool:
        return bool(self.evidence)


def _by_rules(documents: Sequence[LabelledDocument]) -> list[list[_RuleVerdict]]:
    """What words and triage alone say of each company's own clauses."""
    found: dict[int, list[_RuleVerdict]] = {id(item): [] for item in documents}
    judged = entities.readings(documents, None)
    if judged:
        model = opinion.load("rules")
        for each, row in zip(judged, model.probabilities(np.array([one.features for one in judged])), strict=True):
            label = SENTIMENTS[int(row.argmax())]
            verdict = _RuleVerdict(label, float(row.max()), each.own.evidence(each.place, label))
            found[id(each.document)].append(verdict)
    return [found[id(item)] for item in documents]


def by_triage(documents: Sequence[LabelledDocument]) -> Read:
    """Triage of the documents, and words and triage of their companies' own clauses."""
    load()
    began = time.monotonic()
    probabilities = triage_probabilities(documents)
    speed = len(documents) / max(1e-9, time.monotonic() - began)
    further = {"documents_per_s": round(speed), **_company_figures(documents, _by_rules(documents))}
    return Read(list(range(len(documents))), probabilities, further)


def by_llm(wanted: Wanted, kept: Mapping[int, Kept]) -> Read:
    """The language model's answers; `answered` is the share of documents with one that can be used.

    Raises ValueError when there is none.
    """
    places = [place for place in sorted(kept) if kept[place].error is None]
    if not places:
        raise ValueError("no answer can be used")
    chosen = [kept[place] for place in places]
    further: dict[str, Any] = {"documents_per_s": documents_per_second(list(kept.values()))}
    further |= _shares({"answered": (len(places), len(kept))})
    calls = sum(each.calls for each in kept.values())
    if calls:
        further |= _shares({"valid_json": (sum(each.valid_calls for each in kept.values()), calls)})
    if wanted.whole:
        documents = [wanted.documents[place] for place in places]
        further |= _company_figures(documents, [each.verdicts for each in chosen])
    return Read(places, np.array([probabilities_of(each.label) for each in chosen]), further)


def by_ensemble(triage: Read, llm: Read, settings: Settings, adapter: str | None) -> Read:
    """Both together, by the weights that were fitted for them; `adapter` is the name with which the one that answered is served
    (None: the bare base).

    Raises TriageError when none were.
    """
    weights = ensemble.load(parts_of(settings, adapter))
    read = weights.combine(triage.probabilities[llm.places], llm.probabilities)
    speeds = [each.further["documents_per_s"] for each in (triage, llm)]
    together = 1 / sum(1 / speed for speed in speeds) if all(speeds) else 0.0
    return Read(llm.places, read, {"documents_per_s": round(together, 3)})


def _per_label(counts: np.ndarray) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each label, and how many documents have it; 0 where a label never occurs."""
    found: dict[str, dict[str, float]] = {}
    for place, label in enumerate(SENTIMENTS):
        right, said, true = counts[place, place], counts[:, place].sum(), counts[place].sum()
        found[label] = {
            "documents": int(true),
            "precision": round(float(right / said), 4) if said else 0.0,
            "recall": round(float(right / true), 4) if true else 0.0,
            "f1": round(float(2 * right / (said + true)), 4) if said + true else 0.0,
        }
    return found


def engine_figures(documents: Sequence[LabelledDocument], read: Read) -> dict[str, Any]:
    """All figures of an engine; `confusion` is (human label, said), in the order of SENTIMENTS."""
    chosen = [documents[place] for place in read.places]
    human, said = [each.sentiment for each in chosen], read.labels()
    counts = confusion(human, said)
    right = [a == b for a, b in zip(human, said, strict=True)]
    return {
        **figures(chosen, read.probabilities),
        "ece_interval": _ece_interval(read.probabilities.max(1), right),
        **read.further,
        "labels": _per_label(counts),
        "confusion": counts.tolist(),
    }


def paired(documents: Sequence[LabelledDocument], new: Read, old: Read) -> dict[str, Any]:
    """`llm.compare.compare` of two engines on the documents that both answered."""
    first, second = (dict(zip(each.places, each.labels(), strict=True)) for each in (new, old))
    both = sorted(first.keys() & second.keys())
    return compare([documents[k].sentiment for k in both], [first[k] for k in both], [second[k] for k in both])


__all__ = ["Read", "TriageError", "by_ensemble", "by_llm", "by_triage", "engine_figures", "paired", "share"]
