"""The answer: its JSON schema (enforced by the server), its text form for training, and its reading."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yuqing.contracts import CATEGORIES, RISK_TYPES, SENTIMENTS, Sentiment
from yuqing.errors import YuqingError

SUMMARY_LIMIT = 60
KEYWORD_LIMIT = 5
KEYWORD_LENGTH = 12
EVIDENCE_LIMIT = 3
TYPE_LIMIT = 2
# The shorter form, asked for when an answer was cut at the token limit.
SHORT = {"summary": 24, "keywords": 2, "evidence": 1}


class InvalidAnswer(YuqingError):
    """The model's answer is not what the schema demands (cut off, or from a server that does not enforce it)."""


class CompanyAnswer(BaseModel):
    """One company of the answer; `id` is its number in the prompt, `evidence` are sentence numbers."""

    model_config = ConfigDict(extra="forbid")

    id: int
    sentiment: Sentiment
    risk: int = Field(ge=0, le=4)
    types: list[str]
    evidence: list[int]


class Answer(BaseModel):
    """The model's whole answer. The order of the fields is the order in which they are written."""

    model_config = ConfigDict(extra="forbid")

    sentiment: Sentiment
    category: str
    summary: str
    keywords: list[str]
    companies: list[CompanyAnswer]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _evidence_schema(named: bool, sentences: int, most: int) -> dict[str, Any]:
    """Sentence numbers that exist; at least one for a company that the prompt names, none for any other."""
    if not (named and sentences):
        return {"type": "array", "items": {"type": "integer"}, "maxItems": 0}
    numbers = {"enum": list(range(1, sentences + 1))}
    return {"type": "array", "items": numbers, "minItems": 1, "maxItems": most}


def answer_schema(named: Sequence[bool], sentences: int, *, short: bool = False) -> dict[str, Any]:
    """JSON schema of an answer about len(named) companies and so many numbered sentences.

    named[i] says whether the prompt's title or sentences name company i + 1. The ids are fixed in their order.
    """
    summary = SHORT["summary"] if short else SUMMARY_LIMIT
    keywords = SHORT["keywords"] if short else KEYWORD_LIMIT
    most = SHORT["evidence"] if short else EVIDENCE_LIMIT
    sentiment = {"enum": list(SENTIMENTS)}
    each = [
        _object(
            {
                "id": {"const": number},
                "sentiment": sentiment,
                "risk": {"enum": [0, 1, 2, 3, 4]},
                "types": {"type": "array", "items": {"enum": list(RISK_TYPES)}, "maxItems": TYPE_LIMIT},
                "evidence": _evidence_schema(is_named, sentences, most),
            }
        )
        for number, is_named in enumerate(named, 1)
    ]
    listed: dict[str, Any] = {"type": "array", "minItems": len(each), "maxItems": len(each)}
    if each:
        listed |= {"prefixItems": each, "items": False}
    return _object(
        {
            "sentiment": sentiment,
            "category": {"enum": list(CATEGORIES)},
            "summary": {"type": "string", "maxLength": summary},
            "keywords": {
                "type": "array",
                "items": {"type": "string", "maxLength": KEYWORD_LENGTH},
                "maxItems": keywords,
            },
            "companies": listed,
        }
    )


def sentiment_schema() -> dict[str, Any]:
    """JSON schema of the answer's first field alone: enough for a document's sentiment."""
    return _object({"sentiment": {"enum": list(SENTIMENTS)}})


def write_answer(answer: Answer) -> str:
    """The answer as the model shall write it: compact JSON, this key order."""
    return json.dumps(answer.model_dump(), ensure_ascii=False, separators=(",", ":"))


def read_answer(text: str, companies: Sequence[str]) -> Answer:
    """Parse an answer and check it against the companies asked about. Raises InvalidAnswer with the reason."""
    try:
        answer = Answer.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InvalidAnswer(
            f"the model's answer breaks its schema{f' at {where}' if where else ''}: {problem['msg']}"
        ) from None
    ids = [company.id for company in answer.companies]
    if sorted(ids) != list(range(1, len(companies) + 1)):
        raise InvalidAnswer(f"the model's answer is about companies {ids}, asked were 1 to {len(companies)}")
    if answer.category not in CATEGORIES:
        raise InvalidAnswer(f"the model's answer has the category {answer.category!r}")
    return answer
