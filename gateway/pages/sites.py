"""/operations: the sites and how they are, their crawls, and what was started by hand."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response

from gateway.api.sites import RunId, health_of_sites
from gateway.api.tasks import TaskName, list_tasks, read_task, start, start_crawl
from gateway.auth import Caller
from gateway.pages.operations import Operator, OwnForm, done, readable
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import Problem, not_found
from gateway.queries import crawl_runs
from gateway.queries.sites import STATES, SiteState
from gateway.resources import gateway_of
from yuqing.starting import Stage

router = APIRouter(prefix="/operations", include_in_schema=False, dependencies=[Depends(remember_preferences)])

# More rows than anybody reads; the states and the search of the browser narrow them.
SHOWN_SITES = 300
SHOWN_TASKS = 4
RUNS = 50


async def _page(request: Request, caller: Caller, problem: Problem | None = None) -> Response:
    gateway = gateway_of(request)
    sites = await health_of_sites(gateway)
    wanted = request.query_params.get("state")
    state: SiteState | None = next((each for each in STATES if each == wanted), None)
    try:
        tasks = await list_tasks(gateway)
    except Problem as away:  # the sites are known all the same
        tasks, problem = [], problem or away
    return render(
        request,
        "operations_sites.html",
        status=problem.status if problem else 200,
        caller=caller,
        tab="sites",
        sites=[site for site in sites if state in (None, site.state)][:SHOWN_SITES],
        counts=Counter(site.state for site in sites),
        states=STATES,
        state=state,
        new=sum(site.day.new_articles for site in sites if site.day),
        tasks=tasks[:SHOWN_TASKS],
        problem=problem,
        started=request.query_params.get("started"),
    )


@router.get("")
async def sites(request: Request, caller: Operator) -> Response:
    """The worst first."""
    return await _page(request, caller)


@router.post("/crawls", dependencies=[OwnForm])
async def crawl(
    request: Request,
    caller: Operator,
    site: Annotated[list[str], Form(max_length=500)] = [],  # noqa: B006
) -> Response:
    """Crawl these sites, or all."""
    change = start_crawl(gateway_of(request), caller, [name[:64] for name in site])
    return await done(change, "/operations?started=crawl", lambda problem: _page(request, caller, problem))


@router.post("/cleanings", dependencies=[OwnForm])
async def clean(request: Request, caller: Operator) -> Response:
    """Clean what is pending."""
    change = start(gateway_of(request), caller, "clean", "clean.start")
    return await done(change, "/operations?started=clean", lambda problem: _page(request, caller, problem))


@router.get("/tasks/{stage}/{name}")
async def task(request: Request, stage: Stage, name: TaskName, caller: Operator) -> Response:
    """A crawl or a clean that was started by hand, with its log; it goes on by itself while it runs."""
    found = await read_task(gateway_of(request), stage, name)
    return render(request, "operations_task.html", caller=caller, tab="sites", task=found)


@router.get("/runs")
async def runs(
    request: Request,
    caller: Operator,
    site: Annotated[str, Query(pattern=r"^([a-z0-9][a-z0-9_-]{0,63})?$")] = "",
    problems: bool = False,
    before: Annotated[str, Query(pattern=r"^([0-9A-HJKMNP-TV-Z]{26})?$")] = "",
) -> Response:
    """Crawls, newest first."""
    async with gateway_of(request).reading.connect() as connection:
        page = await crawl_runs.crawl_runs(
            connection, site=site or None, problems=problems, before=before or None, limit=RUNS
        )
    return render(
        request,
        "operations_runs.html",
        caller=caller,
        tab="runs",
        page=page,
        site=site,
        problems=problems,
        before=before,
    )


@router.get("/runs/{run_id}")
async def run(request: Request, run_id: RunId, caller: Operator) -> Response:
    """One crawl with what went wrong."""
    async with gateway_of(request).reading.connect() as connection:
        found = await crawl_runs.read_crawl_run(connection, run_id)
    if found is None:
        raise not_found(f"crawl run {run_id}")
    return render(request, "operations_run.html", caller=caller, tab="runs", run=found, readable=readable)
