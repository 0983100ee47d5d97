"""The application: routes, errors, middleware, and what is opened at the start and closed at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.middleware.gzip import GZipMiddleware

import yuqing
from gateway import problems
from gateway.analysing import analyse_pending
from gateway.api import (
    adapters,
    analyze,
    answers,
    companies,
    corrections,
    documents,
    events,
    export,
    health,
    jobs,
    keys,
    media,
    quarantine,
    sites,
    tasks,
    transcriptions,
    trends,
    usage,
    verdicts,
    watchlist,
)
from gateway.forgetting import forget
from gateway.limits import Limits
from gateway.middleware import RequestContext
from gateway.pages import access, document, family, overview, search, sign_in
from gateway.pages import adapters as adapter_pages
from gateway.pages import companies as company_pages
from gateway.pages import company as company_page
from gateway.pages import jobs as job_pages
from gateway.pages import quarantine as quarantine_pages
from gateway.pages import sites as site_pages
from gateway.pages import usage as usage_pages
from gateway.pages.rendering import STATIC, Bounce, Elsewhere, VersionedFiles, redirect
from gateway.parameters import known_parameters
from gateway.resources import open_gateway
from gateway.stopping import stopped
from gateway.watching import watch_pending
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger("gateway")

# Smaller answers fit one packet anyway.
GZIP_FROM_BYTES = 1024


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gateway = app.state.gateway
    watching = asyncio.create_task(watch_pending(gateway.settings), name="watching")
    forgetting = asyncio.create_task(forget(gateway), name="forgetting")
    analysing = asyncio.create_task(analyse_pending(gateway), name="analysing")
    try:
        yield
    finally:
        tasks = (watching, forgetting, analysing, *gateway.tasks)
        await asyncio.gather(*map(stopped, tasks))
        for task in tasks:
            # The queue's pool may have been waiting for a database that is away.
            if not task.cancelled() and (error := task.exception()) and not isinstance(error, psycopg.Error):
                log.error("a task of the gateway had failed", task=task.get_name(), exc_info=error)
        await gateway.database.dispose()
        await gateway.reading.dispose()


async def _redirect(request: Request, error: Exception) -> Response:
    assert isinstance(error, Elsewhere)
    return redirect(request, error)


async def _bounce(_request: Request, _error: Exception) -> Response:
    return HTMLResponse(
        '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>yuqing</title>'
    )


def create_app(settings: Settings) -> FastAPI:
    """The gateway for these settings. Raises NotConfigured when no database is named; none has to answer yet."""
    app = FastAPI(
        title="yuqing 舆情",
        version=yuqing.__version__,
        description="What the media say about the companies that you watch, with proof.",
        docs_url=None,  # the viewers load their scripts from other hosts
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.gateway = open_gateway(settings)
    reading = (watchlist, companies, export, documents, events, verdicts, corrections, trends, media, transcriptions)
    operations = (sites, tasks, jobs, quarantine, adapters, usage)
    managing = (company_pages, access, site_pages, job_pages, quarantine_pages, adapter_pages, usage_pages)
    for resource in (*reading, analyze, keys, *operations):
        app.include_router(resource.router, dependencies=[Depends(known_parameters)])
    for page in (health, sign_in, *managing, overview, search, document, family, company_page):
        app.include_router(page.router)
    app.mount("/static", VersionedFiles(directory=STATIC), name="static")
    answers.describe(app)
    problems.install(app)
    app.add_exception_handler(Elsewhere, _redirect)
    app.add_exception_handler(Bounce, _bounce)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES)
    limits = Limits(settings.gateway.body_limit_bytes, {transcriptions.UPLOADS: settings.gateway.upload_limit_bytes})
    app.add_middleware(RequestContext, limits=limits)
    return app
