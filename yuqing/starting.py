"""Starting a crawl or a clean on demand: a Job of its CronJob in a cluster, a process of this machine otherwise.

In a pod with a service account the Jobs are made; anywhere else a process is started beside this one, which goes on when this
one ends. One process of a stage at a time: it holds a lock on a file for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel

from yuqing.cluster import connection, jobs
from yuqing.contracts import now
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

Stage = Literal["crawl", "clean"]
RunState = Literal["running", "succeeded", "failed", "unknown"]
_RUNS_SHOWN = 20
log = get_logger(__name__)
# Records of processes whose end this process will note: until then they count as running.
_awaited: set[Path] = set()


class AlreadyRunning(YuqingError):
    """The stage runs already; a second one beside it would do the same work."""


@dataclass(frozen=True)
class Run:
    """A run of a stage: a Job of a cluster under its name, or a process under a ULID; its state, and where its log is."""

    stage: Stage
    kind: Literal["job", "process"]
    name: str
    state: RunState
    started: datetime | None
    detail: str = ""


class _Record(BaseModel):
    """What is noted of a process, in a file of the run's name: process numbers come again, after a container's restart at once."""

    stage: Stage
    pid: int = 0  # an earlier release noted none
    state: RunState
    started: datetime
    detail: str
    by: str


def start(
    settings: Settings, stage: Stage, sites: Sequence[str] = (), *, options: Sequence[str] = (), by: str = ""
) -> list[Run]:
    """Start a crawl (of these sites, or of all) or a clean, and return at once.

    In a cluster every CronJob of the stage gets a Job; with sites there is one Job, for these. `options` are given to a clean as
    they are (`--replay KEY`), to one Job of its own. `by` is kept with the run. Raises
    AlreadyRunning, ClusterError (no such CronJob, no right), and YuqingError for a site's name that cannot be one.
    """
    for site in sites:
        if not site or site.startswith("-") or not site.isprintable():
            raise YuqingError(f"{site!r} is no site's name", cure="`yuqing sites list` shows them")
    if connection.inside():
        return _start_jobs(connection.Cluster(settings), stage, [*sites, *options], by)
    return [_start_process(settings, stage, [*sites, *options], by)]


def runs(settings: Settings, stage: Stage) -> list[Run]:
    """The stage's runs that are known, the latest first. Raises ClusterError."""
    if connection.inside():
        cluster = connection.Cluster(settings)
        found = cluster.items(
            "list the Jobs", jobs.JOBS, labelSelector=f"{connection.PART_OF},{connection.COMPONENT}={stage}"
        )
        listed = [
            Run(stage, "job", job["metadata"]["name"], jobs.state(job), _time(job["metadata"].get("creationTimestamp")))
            for job in found
        ]
        return sorted(listed, key=lambda run: str(run.started), reverse=True)
    folder = _folder(settings)
    # Names are ULIDs, which sort by time.
    known = (_read_run(path, stage) for path in sorted(folder.glob(f"{stage}-*.json"), reverse=True))
    return list(islice((run for run in known if run), _RUNS_SHOWN))


def _start_jobs(cluster: connection.Cluster, stage: Stage, words: Sequence[str], by: str) -> list[Run]:
    found = jobs.cronjobs(cluster, stage)
    if not found:
        raise connection.NotFound(
            f"namespace {cluster.namespace} has no CronJob of the component {stage}", cure="apply deploy/k8s"
        )
    names = sorted(item["metadata"]["name"] for item in found)
    if words:  # every CronJob of a stage has the same pod; only its arguments differ
        made = [jobs.trigger(cluster, names[0], arguments=[stage, *words], force=True, by=by)]
    else:
        made = []
        running: list[YuqingError] = []
        for name in names:
            try:
                made.append(jobs.trigger(cluster, name, by=by))
            except connection.Conflict as error:
                running.append(error)
        if not made:
            raise AlreadyRunning(running[0].message, cure="wait for its end")
    return [Run(stage, "job", job.name, "running", now()) for job in made]


def _folder(settings: Settings) -> Path:
    folder = settings.state / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _start_process(settings: Settings, stage: Stage, words: Sequence[str], by: str) -> Run:
    folder, name = _folder(settings), new_ulid().lower()
    path = folder / f"{stage}-{name}.json"
    told = path.with_suffix(".log")
    arguments = [stage, *(words or (["--all"] if stage == "crawl" else []))]
    with (folder / f"{stage}.lock").open("w") as lock:
        if not _lock(lock):
            raise AlreadyRunning(f"a {stage} runs already", cure="wait for its end")
        with told.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "yuqing", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()],  # the lock is the process's: the kernel lifts it however it ends
                start_new_session=True,
            )
    record = _Record(stage=stage, pid=process.pid, state="running", started=now(), detail=str(told), by=by)
    _write(path, record)
    _awaited.add(path)
    threading.Thread(target=_reap, args=(process, path, record), daemon=True).start()
    return Run(stage, "process", name, "running", record.started, record.detail)


def _write(path: Path, record: _Record) -> None:
    """Whole or not at all: others list the folder meanwhile."""
    part = path.with_suffix(".part")
    part.write_text(record.model_dump_json())
    part.replace(path)


def _reap(process: subprocess.Popen[bytes], path: Path, record: _Record) -> None:
    """Note how the process ended; if this one ends first, nobody does, and the run's state is unknown."""
    code = process.wait()
    try:
        _write(path, record.model_copy(update={"state": "failed" if code else "succeeded"}))
    except OSError as error:
        log.warning("a run's end cannot be noted", file=str(path), error=str(error))
    _awaited.discard(path)


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_run(path: Path, stage: Stage) -> Run | None:
    """The run that a file tells of; None when it cannot be read: one damaged file hides no other run."""
    try:
        found = _Record.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        log.warning("a run's record cannot be read, and is left out", file=str(path), error=type(error).__name__)
        return None
    state = found.state
    if state == "running" and path not in _awaited and not _alive(found.pid, stage):
        state = "unknown"
    return Run(stage, "process", path.stem.removeprefix(f"{stage}-"), state, found.started, found.detail)


def _alive(pid: int, stage: str) -> bool:
    """Whether the process still runs; another that was given its number has another command line."""
    try:
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return b"yuqing" in command and stage.encode() in command


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
