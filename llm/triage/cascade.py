"""The cascade: what triage may answer by itself, and what it says then.

Of a company triage says one thing only: it is mentioned in passing, and nothing beside its name reads like praise or
risk. Everything else is the language model's to judge.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm.analysis.analyze import AnalysisResult, CompanyResult
from llm.analysis.evidence import quote
from llm.analysis.prompts import SENTENCE_LIMIT, WINDOW, Company
from llm.analysis.schema import EVIDENCE_LIMIT
from llm.analysis.scores import Label
from llm.triage.model import ENGINE, TriageModel
from llm.weak_labels import risk_cue, weak_category, weak_summary
from yuqing.contracts import Lineage, TimedSpan
from yuqing.settings import LLMSettings
from yuqing.text.sentences import Span, clause_spans

# What stands in the lineage in place of a prompt: the rules of this file. Raise it when they change.
RULES_VERSION = "cascade-v1"

Reason = Literal["empty", "title", "uncertain", "positive", "risk"]


@dataclass(frozen=True)
class Mention:
    """The sentences that name a company, and how triage reads them with their neighbours."""

    sentences: tuple[Span, ...]
    label: Label
    risk: int


def is_sure(label: Label, settings: LLMSettings) -> bool:
    """Whether triage's label of a document counts: it is not positive, and as confident as the settings ask."""
    least = {"neutral": settings.triage_neutral, "negative": settings.triage_negative}
    return label.sentiment in least and label.confidence >= least[label.sentiment]


def _names(company: Company) -> list[str]:
    return [name for name in (company.name, *company.aliases) if name]


def read_mention(model: TriageModel, text: str, spans: Sequence[Span], company: Company) -> Mention:
    """What stands around the company's name. `spans` are the text's sentences."""
    naming = [i for i, (start, end) in enumerate(spans) if any(name in text[start:end] for name in _names(company))]
    near = sorted({j for i in naming for j in range(i - WINDOW, i + WINDOW + 1) if 0 <= j < len(spans)})
    said = "".join(text[slice(*spans[i])] for i in near)
    return Mention(tuple(spans[i] for i in naming), model.label("", said), risk_cue(said))


def decide(
    model: TriageModel, title: str, text: str, companies: Sequence[Company], settings: LLMSettings
) -> tuple[Label, list[Mention], Reason | None]:
    """Triage's label of the document, its reading of each company, and why the language model has to answer (None: it need not)."""
    label = model.label(title, text)
    spans = clause_spans(text, SENTENCE_LIMIT)
    mentions = [read_mention(model, text, spans, company) for company in companies]
    if not title.strip() and not text.strip():
        return label, mentions, "empty"
    # A name that stands in no sentence leaves nothing to quote: such a company is not triage's either.
    if any(name in title for company in companies for name in _names(company)) or not all(
        m.sentences for m in mentions
    ):
        return label, mentions, "title"
    if label.sentiment == "positive":
        return label, mentions, "positive"
    if not is_sure(label, settings):
        return label, mentions, "uncertain"
    if any(mention.risk or mention.label.sentiment == "negative" for mention in mentions):
        return label, mentions, "risk"
    if any(mention.label.sentiment == "positive" for mention in mentions):
        return label, mentions, "positive"
    return label, mentions, None


def triage_document(
    model: TriageModel,
    title: str,
    text: str,
    companies: Sequence[Company],
    settings: LLMSettings,
    segments: Sequence[TimedSpan] = (),
) -> AnalysisResult | Reason:
    """Triage's analysis of a document, or the reason why the language model has to read it.

    Sentiment and score are the document's; category and summary come from the title by rule. Each company is neutral, with
    the first sentences that name it as evidence and the probabilities of those sentences.
    """
    began = time.monotonic()
    label, mentions, reason = decide(model, title, text, companies, settings)
    if reason is not None:
        return reason
    results = [
        CompanyResult(
            company=company.name,
            sentiment="neutral",
            score=mention.label.score,
            confidence=mention.label.confidence,
            risk_level=0,
            risk_types=(),
            evidence=tuple(quote(text, span, segments) for span in mention.sentences[:EVIDENCE_LIMIT]),
            grounded=True,
        )
        for company, mention in zip(companies, mentions, strict=True)
    ]
    return AnalysisResult(
        sentiment=label.sentiment,
        score=label.score,
        confidence=label.confidence,
        category=weak_category(title),
        summary=weak_summary(title, text),
        keywords=(),
        companies=tuple(results),
        prompt_tokens=0,
        completion_tokens=0,
        latency_ms=round((time.monotonic() - began) * 1000),
    )


def triage_lineage(model: TriageModel, cleaning_version: str) -> Lineage:
    """The lineage of what triage answers: the model with its hash, and the rules of the cascade in place of a prompt."""
    return Lineage(engine=ENGINE, model=model.name, prompt_version=RULES_VERSION, cleaning_version=cleaning_version)
