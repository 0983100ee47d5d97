"""/v1/sites: the media that are crawled and how they are; /v1/crawl-runs: what each crawl brought. For operators."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import Limit
from gateway.problems import not_found
from gateway.queries import crawl_runs
from gateway.queries.crawl_runs import CrawlRunDetail, CrawlRunPage
from gateway.queries.sites import SiteHealth, site_healths
from gateway.resources import Gateway, gateway_of
from yuqing.contracts import now

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS)

Operator = Annotated[Caller, Depends(key_with("operator"))]
SiteName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
RunId = Annotated[str, Path(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]


async def health_of_sites(gateway: Gateway) -> tuple[SiteHealth, ...]:
    """Every site, the worst first: its file, its last crawl and its last day."""
    async with gateway.reading.connect() as connection:
        runs = await crawl_runs.site_runs(connection)
    return await asyncio.to_thread(site_healths, gateway.settings, runs, now())


@router.get("/sites", operation_id="list_sites", summary="The sites and their health, the worst first")
async def sites(request: Request, _caller: Operator) -> list[SiteHealth]:
    """Crawls are known once `yuqing clean` has loaded their reports."""
    return list(await health_of_sites(gateway_of(request)))


@router.get("/sites/{site}", operation_id="read_site", summary="One site")
async def site(request: Request, site: SiteName, _caller: Operator) -> SiteHealth:
    """Its file, its last crawl and its last 24 hours."""
    found = next((each for each in await health_of_sites(gateway_of(request)) if each.name == site), None)
    if found is None:
        raise not_found(f"site {site}")
    return found


@router.get("/crawl-runs", operation_id="list_crawl_runs", summary="Crawls, newest first")
async def runs(
    request: Request,
    _caller: Operator,
    site: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = None,
    problems: Annotated[bool, Query(description="only those that failed or were flagged")] = False,
    before: Annotated[
        str | None, Query(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$", description="next_before of the page before")
    ] = None,
    limit: Limit = None,
) -> CrawlRunPage:
    """With what they found and brought."""
    async with gateway_of(request).reading.connect() as connection:
        return await crawl_runs.crawl_runs(connection, site=site, problems=problems, before=before, limit=limit or 30)


@router.get("/crawl-runs/{run_id}", operation_id="read_crawl_run", summary="One crawl with its report")
async def run(request: Request, run_id: RunId, _caller: Operator) -> CrawlRunDetail:
    """The first errors by address, what was given up, circuits and traps: docs/crawler.md explains the fields."""
    async with gateway_of(request).reading.connect() as connection:
        found = await crawl_runs.read_crawl_run(connection, run_id)
    if found is None:
        raise not_found(f"crawl run {run_id}")
    return found
