"""One document and its companies -> sentiment, category, summary, keywords, and a verdict with quotes for each company."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm.analysis import evidence, scores
from llm.analysis.client import Completion, LLMClient
from llm.analysis.client import LLMAway as LLMAway  # for the gateway, which imports this module alone
from llm.analysis.prompts import MAX_COMPANIES, PROMPT_VERSION, Company, Prompt, build_prompt
from llm.analysis.schema import Answer, InvalidAnswer, answer_schema, read_answer
from llm.analysis.scores import Label
from llm.entity.judge import OwnClauses, label_text, own_clauses, put_together, reread, version
from llm.weak_labels import risk_cue, risk_types
from yuqing.contracts import Evidence, Lineage, Sentiment, TimedSpan
from yuqing.endpoints import llm_endpoint
from yuqing.settings import LLMSettings, Settings


@dataclass(frozen=True)
class CompanyResult:
    """The verdict on one company. A company that the document does not name has no evidence and is not grounded."""

    company: str
    sentiment: Sentiment
    score: float
    confidence: float
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    grounded: bool


@dataclass(frozen=True)
class AnalysisResult:
    """What the model says of a document, and what the answers cost together."""

    sentiment: Sentiment
    score: float
    confidence: float
    category: str
    summary: str
    keywords: tuple[str, ...]
    companies: tuple[CompanyResult, ...]
    prompt_tokens: int
    completion_tokens: int
    latency_ms: int


@dataclass(frozen=True)
class _Reply:
    """A checked answer with its labels: labels[0] is the document's, labels[1:] are the companies'."""

    prompt: Prompt
    answer: Answer
    labels: list[Label]
    prompt_tokens: int
    completion_tokens: int


def token_limit(companies: int, settings: LLMSettings) -> int:
    """Most tokens of an answer about so many companies: the document's part, and one part a company."""
    return settings.answer_tokens + settings.company_tokens * companies


def _named(prompt: Prompt, companies: Sequence[Company], title: str, text: str) -> list[bool]:
    """For each company, whether the title or a numbered sentence carries its name."""
    shown = [title, *(text[start:end] for start, end in prompt.sentences)]
    return [
        any(name and name in part for name in (company.name, *company.aliases) for part in shown)
        for company in companies
    ]


def _read(completion: Completion, prompt: Prompt) -> tuple[Answer, list[Label]]:
    answer = read_answer(completion.text, prompt.companies)
    labels = scores.labels(completion.tokens)
    if len(labels) != 1 + len(prompt.companies):
        raise InvalidAnswer(f"the answer has {len(labels)} labels for {len(prompt.companies)} companies")
    return answer, labels


async def _ask(client: LLMClient, title: str, text: str, companies: Sequence[Company], settings: LLMSettings) -> _Reply:
    """One call; a second one in the shorter form when the answer was cut or is not valid. Raises InvalidAnswer."""
    prompt = build_prompt(title, text, companies, budget=settings.text_tokens)
    named = _named(prompt, companies, title, text)
    spent = [0, 0]
    for short in (False, True):
        schema = answer_schema(named, len(prompt.sentences), short=short)
        completion = await client.complete(prompt.messages, schema, token_limit(len(companies), settings))
        spent[0] += completion.prompt_tokens
        spent[1] += completion.completion_tokens
        try:
            answer, labels = _read(completion, prompt)
        except InvalidAnswer as error:
            if short:
                what = "was cut at the token limit" if completion.cut else f"is not valid ({error.message})"
                raise InvalidAnswer(
                    f"the model's answer {what}, also in the shorter form",
                    cure="raise YUQING_LLM__ANSWER_TOKENS, or use a server that enforces JSON schemas",
                ) from None
        else:
            return _Reply(prompt, answer, labels, spent[0], spent[1])
    raise AssertionError("unreachable")


def _company(
    reply: _Reply, index: int, company: Company, title: str, text: str, segments: Sequence[TimedSpan]
) -> CompanyResult:
    judged = sorted(reply.answer.companies, key=lambda each: each.id)[index]
    label = reply.labels[1 + [each.id for each in reply.answer.companies].index(judged.id)]
    quotes, grounded = evidence.locate(judged.evidence, reply.prompt.sentences, text, segments)
    if not any(name and (name in title or name in text) for name in (company.name, *company.aliases)):
        quotes, grounded = (), False
    return CompanyResult(
        company=company.name,
        sentiment=label.sentiment,
        score=label.score,
        confidence=label.confidence,
        # The risk of a verdict that is not negative is none, whatever the model wrote.
        risk_level=judged.risk if label.sentiment == "negative" else 0,
        risk_types=tuple(dict.fromkeys(judged.types)) if label.sentiment == "negative" else (),
        evidence=quotes,
        grounded=grounded,
    )


def _with_own_clauses(
    result: CompanyResult, own: OwnClauses, place: int, alone: Label | None, segments: Sequence[TimedSpan]
) -> CompanyResult:
    """The verdict after its company's own clauses were read again; evidence from them, risk as far as they tell of one."""
    said = own.said[place]
    label = put_together(said, alone)
    quotes = tuple(evidence.quote(own.text, span, segments) for span in own.evidence(place, label.sentiment))
    level, kinds = result.risk_level, result.risk_types
    if label.sentiment != "negative":
        level, kinds = 0, ()
    elif result.sentiment != "negative":  # nothing was said of risk where the model saw none
        level, kinds = risk_cue(said) or 1, risk_types(said)
    return CompanyResult(
        company=result.company,
        sentiment=label.sentiment,
        score=label.score,
        confidence=label.confidence,
        risk_level=level,
        risk_types=kinds,
        evidence=quotes or result.evidence,
        grounded=bool(quotes) or result.grounded,
    )


def version_of(settings: LLMSettings) -> str:
    """What lineage calls the prompt's version: the prompt's, and that of the rules by which own clauses are put together."""
    return PROMPT_VERSION + version(settings)


def _check(title: str, text: str) -> None:
    if not title.strip() and not text.strip():
        raise ValueError("the document has neither a title nor a text")


async def analyze_document(
    client: LLMClient,
    title: str,
    text: str,
    companies: Sequence[Company],
    settings: LLMSettings,
    segments: Sequence[TimedSpan] = (),
) -> AnalysisResult:
    """Analyse a document: one call, or one for each five companies.

    Raises ValueError for an empty document, InvalidAnswer when the model's answers cannot be used, LLMAway, LLMRefused.
    """
    _check(title, text)
    began = time.monotonic()
    chunks = [companies[i : i + MAX_COMPANIES] for i in range(0, len(companies), MAX_COMPANIES)] or [()]
    replies = await asyncio.gather(*(_ask(client, title, text, chunk, settings) for chunk in chunks))
    results = [
        _company(reply, index, company, title, text, segments)
        for reply, chunk in zip(replies, chunks, strict=True)
        for index, company in enumerate(chunk)
    ]
    tokens = 0
    if settings.company_clauses != "off" and companies:
        own = own_clauses(title, text, companies)
        alone: list[Label | None] = [None] * len(companies)
        if settings.company_clauses == "llm":
            alone, tokens = await reread(client, own, settings)
        results = [
            _with_own_clauses(result, own, place, label, segments) if own.said[place] else result
            for place, (result, label) in enumerate(zip(results, alone, strict=True))
        ]
    first = replies[0]
    return AnalysisResult(
        sentiment=first.labels[0].sentiment,
        score=first.labels[0].score,
        confidence=first.labels[0].confidence,
        category=first.answer.category,
        summary=first.answer.summary.strip(),
        keywords=tuple(dict.fromkeys(word.strip() for word in first.answer.keywords if word.strip())),
        companies=tuple(results),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies) + tokens,
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        latency_ms=round((time.monotonic() - began) * 1000),
    )


async def document_sentiment(client: LLMClient, title: str, text: str, settings: LLMSettings) -> Label:
    """A document's sentiment alone: a dozen tokens. Raises as analyze_document does."""
    _check(title, text)
    return (await label_text(client, title, text, settings))[0]


async def analyze_now(
    settings: Settings, title: str, text: str, companies: Mapping[str, Sequence[str]]
) -> tuple[AnalysisResult, Lineage]:
    """Analyse one text on a connection of its own, for whoever waits for the answer; with its lineage.

    `companies`: name -> the other names that the text may use.

    Raises NotConfigured, and what analyze_document raises.
    """
    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        served = await client.served()
        named = [Company(name, tuple(aliases)) for name, aliases in companies.items()]
        result = await analyze_document(client, title, text, named, settings.llm)
    return result, Lineage(
        engine=served.engine,
        model=served.model,
        adapter=served.adapter,
        prompt_version=version_of(settings.llm),
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        latency_ms=result.latency_ms,
    )
