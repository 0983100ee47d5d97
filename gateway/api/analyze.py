"""/v1/analyze: a text or a stored document, answered by the language model now, or many of them by a job."""

import asyncio
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.analysing import DocumentMissing, TextAnalysis, analyse, batch_job
from gateway.api.answers import PROBLEMS
from gateway.api.companies import Name
from gateway.auth import Caller, key_with
from gateway.filters import Limit
from gateway.idempotency import NO_STORE, IdempotentRoute
from gateway.problems import RETRY_AFTER_S, Problem, not_found
from gateway.queries import analyses, audit
from gateway.queries.analyses import Batch, BatchAnswers
from gateway.resources import gateway_of
from yuqing.errors import NotConfigured, YuqingError
from yuqing.jobs import defer_in_transaction

router = APIRouter(prefix="/v1", tags=["analyses"], responses=PROBLEMS, route_class=IdempotentRoute)

Analyst = Annotated[Caller, Depends(key_with("analyst"))]
BatchPath = Annotated[int, Path(ge=1, le=2**62)]
# With the body's limit of 1 MiB these are texts of 2,000 bytes; ids of documents need much less.
MAXIMUM_BATCH = 500


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return value


Text = Annotated[str, AfterValidator(_storable)]


class Question(BaseModel):
    """A text to analyse, or the id of a stored document; and the companies to judge in it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "title": "某品牌手机召回",
                    "text": "某品牌宣布召回一批手机，原因是电池过热。",
                    "companies": ["某品牌"],
                },
                {"doc_id": "9f2c4e1ab07d5e63c8a1f04b7d92e615"},
            ]
        },
    )

    title: Text = Field("", max_length=500)
    text: Text = Field("", max_length=100_000)
    companies: list[Name] = Field(
        [], max_length=20, description="of a stored document: those of the team that it mentions, unless named here"
    )
    doc_id: str | None = Field(None, pattern="^[0-9a-f]{32}$", description="a stored document, in place of a text")

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        has_text = bool(self.title.strip() or self.text.strip())
        if self.doc_id is None and not has_text:
            raise ValueError("title and text are both empty")
        if self.doc_id is not None and has_text:
            raise ValueError("give a text or the id of a document, not both")
        if len(set(self.companies)) < len(self.companies):
            raise ValueError("a company is named twice")
        return self


class NewBatch(BaseModel):
    """Texts and documents to analyse by a job."""

    model_config = ConfigDict(extra="forbid")

    items: list[Question] = Field(min_length=1, max_length=MAXIMUM_BATCH)


def _away(message: str, cure: str) -> Problem:
    return Problem(503, "language-model-away", message, cure, headers={"Retry-After": str(RETRY_AFTER_S)})


@router.post("/analyze", operation_id="analyze_text", summary="Analyse a text or a stored document now")
async def analyze(request: Request, response: Response, question: Question, caller: Analyst) -> TextAnalysis:
    """One call to the language model; 503 when it is away. Nothing of it is stored."""
    gateway = gateway_of(request)
    seconds = gateway.settings.gateway.analyze_timeout_s
    try:
        answer = await asyncio.wait_for(analyse(gateway, caller.team_id, question.model_dump()), timeout=seconds)
    except TimeoutError:
        raise _away(
            f"the language model gave no answer in {seconds:g} s", "try again, or send a shorter text"
        ) from None
    except DocumentMissing:
        raise not_found(f"document {question.doc_id}") from None
    except NotConfigured:
        raise
    except YuqingError as error:
        raise _away(error.message, error.cure) from None
    response.headers["Cache-Control"] = NO_STORE
    return answer


@router.post(
    "/analyze/batches", status_code=202, operation_id="create_batch", summary="Have many texts analysed by a job"
)
async def create(request: Request, response: Response, new: NewBatch, caller: Analyst) -> Batch:
    """Texts and answers are kept for `YUQING_GATEWAY__ANALYSES_DAYS`. `Location` tells how far it is."""
    async with gateway_of(request).database.begin() as connection:
        questions = [question.model_dump() for question in new.items]
        batch_id = await analyses.insert_batch(connection, caller.team_id, caller.actor, questions)
        await connection.run_sync(defer_in_transaction, [batch_job(batch_id)])
        detail = {"items": len(questions)}
        await audit.note(connection, caller.team_id, caller.actor, "batch.create", f"batch:{batch_id}", detail)
        made = (await analyses.list_batches(connection, caller.team_id, batch_id=batch_id))[0]
    response.headers["Location"] = f"/v1/analyze/batches/{batch_id}"
    return made


@router.get("/analyze/batches", operation_id="list_batches", summary="The team's batches, newest first")
async def listed(request: Request, caller: Analyst, limit: Limit = None) -> list[Batch]:
    """The latest ones that are kept."""
    async with gateway_of(request).reading.connect() as connection:
        return list(await analyses.list_batches(connection, caller.team_id, limit=limit or 30))


@router.get("/analyze/batches/{batch_id}", operation_id="read_batch", summary="How far a batch is")
async def one(request: Request, batch_id: BatchPath, caller: Analyst) -> Batch:
    """404 for another team's."""
    async with gateway_of(request).reading.connect() as connection:
        found = await analyses.list_batches(connection, caller.team_id, batch_id=batch_id)
    if not found:
        raise not_found(f"batch {batch_id}")
    return found[0]


@router.get("/analyze/batches/{batch_id}/answers", operation_id="read_batch_answers", summary="A batch's answers")
async def answers(
    request: Request,
    batch_id: BatchPath,
    caller: Analyst,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="next_after of the page before")] = -1,
    limit: Limit = None,
) -> BatchAnswers:
    """In the order of the questions; those that are not answered yet have neither `answer` nor `problem`."""
    async with gateway_of(request).reading.connect() as connection:
        if not await analyses.list_batches(connection, caller.team_id, batch_id=batch_id):
            raise not_found(f"batch {batch_id}")
        return await analyses.batch_answers(connection, batch_id, after, limit or 30)


@router.delete(
    "/analyze/batches/{batch_id}", status_code=204, operation_id="delete_batch", summary="Forget a batch and its texts"
)
async def remove(request: Request, batch_id: BatchPath, caller: Analyst) -> None:
    """What of it is not answered yet will not be."""
    async with gateway_of(request).database.begin() as connection:
        if not await analyses.delete_batch(connection, caller.team_id, batch_id):
            raise not_found(f"batch {batch_id}")
        await audit.note(connection, caller.team_id, caller.actor, "batch.delete", f"batch:{batch_id}", {})
