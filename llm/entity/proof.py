"""Which sentences prove a company's sentiment: its own, those that speak for the label first."""

from collections.abc import Sequence

from llm.analysis.prompts import SENTENCE_LIMIT
from llm.analysis.schema import EVIDENCE_LIMIT
from llm.entity.clauses import Clause
from llm.entity.polarity import polarity
from yuqing.contracts import Sentiment
from yuqing.text.sentences import Span, clause_spans

# What a sentence that names the company is worth beside one weighted word for the label.
_NAMED = 0.75


def _worth(text: str, own: Sequence[Clause], sentiment: Sentiment) -> float:
    words = polarity("".join(text[slice(*clause.span)] for clause in own))
    named = _NAMED if any(clause.named for clause in own) else 0.0
    if sentiment == "neutral":
        return named
    return named + (words.good - words.bad if sentiment == "positive" else words.bad - words.good)


def evidence_spans(text: str, clauses: Sequence[Clause], place: int, sentiment: Sentiment) -> list[Span]:
    """Sentences (as production quotes them) that hold the company's clauses, in text order; at most EVIDENCE_LIMIT.

    The one that says most for the label, and others only where they speak for it, too. Empty when no sentence is about it.
    """
    ranked: list[tuple[float, Span]] = []
    for start, end in clause_spans(text, SENTENCE_LIMIT):
        own = [clause for clause in clauses if place in clause.about and start <= clause.span[0] < end]
        if own:
            ranked.append((_worth(text, own, sentiment), (start, end)))
    ranked.sort(key=lambda each: (-each[0], each[1]))
    chosen = ranked[:1] + [each for each in ranked[1:EVIDENCE_LIMIT] if each[0] >= 1]
    return sorted(span for _, span in chosen)
