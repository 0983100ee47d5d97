"""`yuqing k8s`: an operator's view of the cluster, and what to do there without writing YAML."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yuqing.errors import YuqingError
from yuqing.settings import get_settings

if TYPE_CHECKING:
    from yuqing.cluster.connection import Cluster
    from yuqing.cluster.status import Status

app = typer.Typer(help="The cluster: status, start jobs, logs, adapters, doctor, crawl jobs.", no_args_is_help=True)
adapters = typer.Typer(help="Adapters of the language model on the cluster.", no_args_is_help=True)
app.add_typer(adapters, name="adapters")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_WIDTH = 118


def _cluster() -> Cluster:
    from yuqing.cluster.connection import Cluster

    return Cluster(get_settings())


@app.command("status")
def status(as_json: Json = False) -> None:
    """Pods, jobs, schedules, queues and GPUs of the namespace."""
    from yuqing.cluster.status import status as look

    found = look(_cluster(), get_settings())
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, default=lambda time: time.isoformat()))
        return
    _print_status(found, datetime.now(UTC))


def age(then: datetime | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: 45s, 12m, 3h, 9d; "" for never."""
    if then is None:
        return ""
    seconds = max(0, int((now - then).total_seconds()))
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _print_status(found: Status, now: datetime) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else _WIDTH)

    def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
        if not rows:
            return
        table = Table(*columns, box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
        for row in rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)

    ready = sum(pod.ready for pod in found.pods)
    console.print(f"namespace {found.namespace} at {found.server}: {len(found.pods)} pods, {ready} ready")
    show(
        "pods",
        ["stage", "pod", "ready", "state", "restarts", "age", "node"],
        [
            [
                pod.component,
                pod.name,
                "yes" if pod.ready else "no",
                pod.state,
                str(pod.restarts),
                age(pod.started, now),
                pod.node,
            ]
            for pod in found.pods
        ],
    )
    show(
        "jobs",
        ["stage", "job", "state", "started", "took"],
        [
            [
                job.component,
                job.name,
                job.state,
                age(job.started, now),
                age(job.started, job.finished) if job.finished else "",
            ]
            for job in found.jobs
        ],
    )
    show(
        "schedules",
        ["stage", "cronjob", "schedule", "running", "last run", "last success"],
        [
            [
                item.component,
                item.name,
                item.schedule + (" (suspended)" if item.suspended else ""),
                str(item.running),
                age(item.last_run, now),
                age(item.last_success, now),
            ]
            for item in found.schedules
        ],
    )
    show(
        "queues",
        ["queue", "waiting", "running", "failed", "oldest"],
        [
            [item.name, str(item.waiting), str(item.running), str(item.failed), f"{item.oldest_s:.0f}s"]
            for item in found.queues
        ],
    )
    show(
        "GPUs",
        ["node", "model", "usable", "taken"],
        [[node.name, node.model, str(node.usable), str(node.taken)] for node in found.gpus],
    )
    for name, reason in found.missing.items():
        console.print(f"{name}: {reason}", markup=False)


@app.command("trigger")
def trigger(
    name: Annotated[str, typer.Argument(help="A CronJob of the namespace.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="In place of its container's: a yuqing command.")
    ] = None,
    wait: Annotated[float | None, typer.Option(min=1, help="Wait for the Job's end, at most so many seconds.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also beside a Job of it that runs.")] = False,
    as_json: Json = False,
) -> None:
    """Make a Job of a CronJob now, as `trigger backup restore latest`. With --wait the status is 1 unless it succeeds in time."""
    from yuqing.cluster.jobs import trigger as start
    from yuqing.cluster.jobs import wait_for

    cluster = _cluster()
    made = start(cluster, name, arguments=arguments or None, force=force)
    reached = wait_for(cluster, made.name, wait) if wait else "running"
    if as_json:
        typer.echo(json.dumps({"job": made.name, "cronjob": made.cronjob, "state": reached}))
    else:
        typer.echo(f"{made.name}: {'started' if not wait else reached}")
    if wait and reached != "succeeded":
        raise typer.Exit(1)


@app.command("logs")
def logs(
    stage: Annotated[str, typer.Argument(help="A stage, as `yuqing k8s status` names it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the pods end, or Ctrl-C.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="The last lines of each pod.")] = 100,
    previous: Annotated[bool, typer.Option("--previous", help="Of the containers before their last restart.")] = False,
) -> None:
    """The log of a stage's pods, each line under its pod's name."""
    from yuqing.cluster.logs import logs as read

    if follow and previous:
        raise YuqingError("what ran before has ended, and cannot be followed", cure="leave one of them out")
    for pod, line in read(_cluster(), stage, follow=follow, tail=tail, previous=previous):
        typer.echo(f"{pod}  {line}")


@app.command("doctor")
def doctor(as_json: Json = False) -> None:
    """What the cluster lacks for yuqing, and the cure. Exit status 1 on a failure."""
    from yuqing.cluster.doctor import doctor as look
    from yuqing.doctor import print_checks

    checks = look(_cluster(), get_settings())
    if as_json:
        typer.echo(json.dumps({"checks": [check.as_dict() for check in checks]}, ensure_ascii=False))
    else:
        print_checks(checks)
    raise typer.Exit(1 if any(check.state == "failed" for check in checks) else 0)


@adapters.command("rollout")
def rollout(
    name: Annotated[str, typer.Argument(help="An adapter on S3.")],
    canary: Annotated[
        Path | None, typer.Option(help="JSON lines of texts with their sentiment; default: three that are shipped.")
    ] = None,
    force: Annotated[str, typer.Option(metavar="REASON", help="Without a comparison with the active one.")] = "",
    as_json: Json = False,
) -> None:
    """Make an adapter active, wait until every server serves it, ask each a canary; go back when that fails."""
    from yuqing.cluster.rollout import CANARY, roll_out
    from yuqing.objects import ObjectStore

    settings = get_settings()
    outcome = roll_out(
        _cluster(),
        ObjectStore.from_settings(settings),
        settings,
        name,
        by=getpass.getuser(),
        canary=canary or CANARY,
        force=force,
        tell=lambda words: typer.echo(words, err=True),
    )
    if as_json:
        active = outcome.active
        answer = {"adapter": active.adapter, "sha256": active.sha256, "generation": active.generation}
        typer.echo(json.dumps({**answer, "pods": outcome.pods, "agreement": outcome.agreement}))
    else:
        typer.echo(f"{name} is rolled out to {len(outcome.pods)} servers")


@app.command("render")
def render_crawls(
    output: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
    sites_a_group: Annotated[int, typer.Option(min=1, help="At most about so many sites a CronJob.")] = 20,
) -> None:
    """The sites' CronJobs, by their schedules, as YAML for deploy/k8s/base/crawl/cronjobs.yaml."""
    from yuqing.cluster.render import render, sites_of

    text = render(list(sites_of(get_settings()).values()), sites_a_group)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
