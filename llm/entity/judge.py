"""A company's verdict from its own clauses: read again by triage and the language model, put together, and proved."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from llm.analysis.client import LLMClient
from llm.analysis.prompts import Company, build_prompt
from llm.analysis.schema import InvalidAnswer, sentiment_schema
from llm.analysis.scores import Label, labels
from llm.entity import opinion
from llm.entity.clauses import Clause, read_clauses, said_of
from llm.entity.proof import evidence_spans
from llm.triage.model import label_of, load, probabilities_of
from yuqing.contracts import Sentiment
from yuqing.settings import LLMSettings
from yuqing.text.sentences import Span

# Tokens that {"sentiment":"negative"} takes, and a few more.
LABEL_TOKENS = 24


@dataclass(frozen=True)
class OwnClauses:
    """What a document says of each of its companies: `said` are their clauses joined ("" where there are none)."""

    text: str
    clauses: tuple[Clause, ...]
    said: tuple[str, ...]

    def evidence(self, place: int, sentiment: Sentiment) -> list[Span]:
        """Sentences that prove this label of the company at this place; none where only the title names it."""
        return evidence_spans(self.text, self.clauses, place, sentiment)


def own_clauses(title: str, text: str, companies: Sequence[Company]) -> OwnClauses:
    """The clauses of each company; of one that only the title names, the title."""
    clauses = tuple(read_clauses(text, companies))
    said = []
    for place, company in enumerate(companies):
        own = said_of(text, clauses, place)
        names = [name for name in (company.name, *company.aliases) if name]
        said.append(own or (title if any(name in title for name in names) else ""))
    return OwnClauses(text, clauses, tuple(said))


async def label_text(client: LLMClient, title: str, text: str, settings: LLMSettings) -> tuple[Label, int]:
    """The language model's sentiment of a text, and the tokens that it took. Raises InvalidAnswer, LLMAway, LLMRefused."""
    prompt = build_prompt(title, text, (), budget=settings.label_text_tokens)
    completion = await client.complete(prompt.messages, sentiment_schema(), LABEL_TOKENS)
    found = labels(completion.tokens)
    if not found:
        raise InvalidAnswer("the model's answer holds no sentiment")
    return found[0], completion.prompt_tokens + completion.completion_tokens


async def reread(client: LLMClient, own: OwnClauses, settings: LLMSettings) -> tuple[list[Label | None], int]:
    """The language model's label of each company's clauses as a text of their own, and the tokens of all; None without clauses.

    What two companies share is asked once.
    """
    texts = [said for said in dict.fromkeys(own.said) if said]
    found = await asyncio.gather(*(label_text(client, "", said, settings) for said in texts))
    by_text = dict(zip(texts, found, strict=True))
    return [by_text[said][0] if said else None for said in own.said], sum(tokens for _, tokens in found)


def put_together(said: str, alone: Label | None) -> Label:
    """One label of the words of a company's clauses, triage's reading of them, and the language model's where it was asked."""
    read = opinion.Readings(said, load().probabilities("", said), probabilities_of(alone) if alone else None)
    return label_of(opinion.probabilities(read))


def check_weights(settings: LLMSettings) -> None:
    """Raises OpinionError when the weights that the settings ask for were not fitted, or not for this triage model: before any
    document, not at the first.
    """
    if settings.company_clauses != "off":
        opinion.check(settings.company_clauses, load().name)


def version(settings: LLMSettings) -> str:
    """What lineage adds to the prompt's version; "" where own clauses are not read."""
    return {"off": "", "rules": f"+{opinion.VERSION}-rules", "llm": f"+{opinion.VERSION}"}[settings.company_clauses]
