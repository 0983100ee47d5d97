"""/v1/analyze: a text that is not in the database, answered by the language model now."""

import asyncio
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.api.answers import PROBLEMS
from gateway.api.companies import Name
from gateway.auth import Caller, key_with
from gateway.idempotency import NO_STORE, IdempotentRoute
from gateway.problems import RETRY_AFTER_S, Problem
from gateway.resources import gateway_of
from yuqing.contracts import Evidence, Lineage, Sentiment
from yuqing.errors import NotConfigured, YuqingError

router = APIRouter(prefix="/v1", tags=["analyses"], responses=PROBLEMS, route_class=IdempotentRoute)


class NewText(BaseModel):
    """A text to analyse, and the companies to judge in it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"title": "某品牌手机召回", "text": "某品牌宣布召回一批手机，原因是电池过热。", "companies": ["某品牌"]}
            ]
        },
    )

    title: str = Field("", max_length=500)
    text: str = Field("", max_length=100_000)
    companies: list[Name] = Field([], max_length=20)

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.title.strip() and not self.text.strip():
            raise ValueError("title and text are both empty")
        if len(set(self.companies)) < len(self.companies):
            raise ValueError("a company is named twice")
        return self


class TextVerdict(BaseModel):
    """The verdict on one company; offsets of the evidence point into the text that was sent."""

    company: str
    sentiment: Sentiment
    score: float
    confidence: float
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    grounded: bool


class TextAnalysis(BaseModel):
    """The answer; nothing of it is stored."""

    sentiment: Sentiment
    score: float
    confidence: float
    category: str
    summary: str
    keywords: tuple[str, ...]
    verdicts: tuple[TextVerdict, ...]
    lineage: Lineage


def _away(message: str, cure: str) -> Problem:
    return Problem(503, "language-model-away", message, cure, headers={"Retry-After": str(RETRY_AFTER_S)})


@router.post("/analyze", operation_id="analyze_text", summary="Analyse a text now")
async def analyze(
    request: Request, response: Response, new: NewText, _caller: Annotated[Caller, Depends(key_with("analyst"))]
) -> TextAnalysis:
    """One call to the language model; 503 when it is away."""
    from llm.analysis.analyze import analyze_now

    settings = gateway_of(request).settings
    seconds = settings.gateway.analyze_timeout_s
    try:
        result, lineage = await asyncio.wait_for(
            analyze_now(settings, new.title, new.text, new.companies), timeout=seconds
        )
    except TimeoutError:
        raise _away(
            f"the language model gave no answer in {seconds:g} s", "try again, or send a shorter text"
        ) from None
    except NotConfigured:
        raise
    except YuqingError as error:
        raise _away(error.message, error.cure) from None
    response.headers["Cache-Control"] = NO_STORE
    verdicts: tuple[Any, ...] = result.companies
    return TextAnalysis(
        sentiment=result.sentiment,
        score=result.score,
        confidence=result.confidence,
        category=result.category,
        summary=result.summary,
        keywords=result.keywords,
        verdicts=tuple(TextVerdict.model_validate(verdict, from_attributes=True) for verdict in verdicts),
        lineage=lineage,
    )
