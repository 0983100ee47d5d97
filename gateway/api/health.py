"""/livez, /readyz, /metrics."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.queries.pipeline import pipeline_metrics
from gateway.resources import Gateway, gateway_of
from yuqing.database.session import away
from yuqing.endpoints import llm_endpoint
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.telemetry import get_logger
from yuqing.watchlist import KEY

router = APIRouter(tags=["health"])
log = get_logger("gateway")


@dataclass(frozen=True, eq=False)  # a registry keeps collectors in a dictionary
class _Ready(Collector):
    """Metrics that were read already."""

    found: list[Metric]

    def collect(self) -> list[Metric]:
        return self.found


@router.get("/livez", operation_id="livez", summary="The process answers", response_class=PlainTextResponse)
async def livez() -> str:
    """Nothing else is asked: a process is not restarted because its database is."""
    return "ok"


async def _database(gateway: Gateway) -> None:
    try:
        async with gateway.database.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        raise away(error) from None


async def _object_store(gateway: Gateway) -> None:
    # One try: the answer is wanted now. Whether the key exists does not matter.
    store = ObjectStore(replace(gateway.store.endpoint, attempts=1))
    await asyncio.to_thread(store.exists, KEY)


async def _language_model(gateway: Gateway) -> None:
    endpoint = llm_endpoint(gateway.settings)
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
        try:
            answer = await client.get(f"{endpoint.url}/models")
        except httpx.HTTPError as error:
            raise YuqingError(f"the language model's server does not answer: {error or type(error).__name__}") from None
    if answer.is_error:
        raise YuqingError(f"the language model's server answers {answer.status_code}")


async def _ask(dependency: Awaitable[None], seconds: float) -> dict[str, Any]:
    try:
        await asyncio.wait_for(dependency, seconds)
    except TimeoutError:
        return {"ok": False, "reason": f"no answer in {seconds:g} s"}
    except YuqingError as error:
        return {"ok": False, "reason": error.message} | ({"cure": error.cure} if error.cure else {})
    return {"ok": True}


@router.get("/readyz", operation_id="readyz", summary="Which dependencies answer")
async def readyz(request: Request) -> Response:
    """503 without the database. Without S3 only recordings fail, without the language model only POST /v1/analyze."""
    gateway = gateway_of(request)
    seconds = gateway.settings.gateway.dependency_timeout_s
    names = ("database", "object_store", "language_model")
    answers = await asyncio.gather(
        *(_ask(ask(gateway), seconds) for ask in (_database, _object_store, _language_model))
    )
    dependencies = dict(zip(names, answers, strict=True))
    gone = [name for name in names if not dependencies[name]["ok"]]
    status = "unavailable" if "database" in gone else "degraded" if gone else "ready"
    return JSONResponse(
        {"status": status, "away": gone, "dependencies": dependencies}, 503 if status == "unavailable" else 200
    )


@router.get("/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Requests and their times by route; queues, ledger and crawls, as far as the database answers."""
    gateway = gateway_of(request)
    pipeline = CollectorRegistry()
    try:
        async with (
            asyncio.timeout(gateway.settings.gateway.dependency_timeout_s),
            gateway.reading.connect() as connection,
        ):
            found = await pipeline_metrics(connection)
        pipeline.register(_Ready(found))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning(
            "no metrics of the pipeline", reason=str(error).splitlines()[0] if str(error) else "no answer in time"
        )
    return Response(generate_latest() + generate_latest(pipeline), media_type=CONTENT_TYPE_LATEST)
