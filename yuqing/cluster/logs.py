"""The logs of a stage's pods, each line under its pod's name; followed through broken connections without a line twice."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from yuqing.cluster import COMPONENTS
from yuqing.cluster.connection import Cluster, ClusterAway, ClusterError, NotFound
from yuqing.cluster.status import PODS, pod_objects
from yuqing.errors import YuqingError

# A log on which nothing is written is silent for as long as it likes; TCP's keep-alive finds a peer that is gone.
_TRIES = 5


def logs(
    cluster: Cluster, component: str, *, follow: bool = False, tail: int = 100, previous: bool = False
) -> Iterator[tuple[str, str]]:
    """(pod, line) of the component's pods: their last `tail` lines, and with `follow` what they write until they end.

    `previous` are the lines of the containers before their last restart. Raises NotFound, NotAllowed, ClusterError.
    """
    if component not in COMPONENTS:
        raise YuqingError(f"there is no stage {component!r}", cure=f"the stages are {', '.join(COMPONENTS)}")
    pods = pod_objects(cluster, component)
    if not pods:
        raise NotFound(
            f"no pod of {component} is in namespace {cluster.namespace}",
            cure="a CronJob's pods are there while it runs and for a while after; `yuqing k8s status` shows them",
        )
    pods.sort(key=lambda pod: str((pod.get("status") or {}).get("startTime") or ""))
    if not follow:
        for pod in pods:
            yield from _told(pod, cluster, tail, previous)
        return
    lines: queue.SimpleQueue[tuple[str, str | None, BaseException | None]] = queue.SimpleQueue()
    for pod in pods:
        threading.Thread(target=_pump, args=(cluster, pod, tail, lines), daemon=True).start()
    open_ = len(pods)
    while open_:
        name, line, problem = lines.get()
        if problem:
            raise problem
        if line is None:
            open_ -= 1
        else:
            yield name, line


def _path(pod: dict[str, Any]) -> tuple[str, str]:
    """The log's path, and the container that does the work: the first."""
    return f"{PODS}/{pod['metadata']['name']}/log", str(pod["spec"]["containers"][0]["name"])


def _told(pod: dict[str, Any], cluster: Cluster, tail: int, previous: bool) -> Iterator[tuple[str, str]]:
    name = pod["metadata"]["name"]
    path, container = _path(pod)
    query = {"container": container, "tailLines": tail, "previous": "true" if previous else None}
    try:
        for line in cluster.lines(f"read the log of {name}", path, cluster.settings.timeout_s, **query):
            yield name, line
    except ClusterError as error:  # a container that has not started has no log; the others are shown
        yield name, f"({error.message})"


def _pump(
    cluster: Cluster,
    pod: dict[str, Any],
    tail: int,
    lines: queue.SimpleQueue[tuple[str, str | None, BaseException | None]],
) -> None:
    name = pod["metadata"]["name"]
    try:
        for line in followed(cluster, pod, tail):
            lines.put((name, line, None))
        lines.put((name, None, None))
    except BaseException as error:  # noqa: BLE001 - raised again where the lines are read
        lines.put((name, None, error))


def followed(cluster: Cluster, pod: dict[str, Any], tail: int) -> Iterator[str]:
    """A pod's lines as it writes them; a connection that breaks is made again and goes on after the last line.

    Ends when the container has. Raises NotFound when the pod is gone before, ClusterAway when it cannot be reached again.
    """
    path, container = _path(pod)
    what = f"follow the log of {pod['metadata']['name']}"
    query: dict[str, object] = {"container": container, "follow": "true", "timestamps": "true", "tailLines": tail}
    last, failures = "", 0
    while True:
        try:
            for line in cluster.lines(what, path, None, **query):
                # Each line begins with its time, to the nanosecond; sinceTime is exact to the second.
                stamp, _, words = line.partition(" ")
                if stamp > last:
                    last, failures = stamp, 0
                    yield words
            return
        except ClusterAway:
            failures += 1
            if failures == _TRIES:
                raise
            time.sleep(cluster.settings.poll_s)
            if last:
                query = {**query, "sinceTime": last.partition(".")[0].rstrip("Z") + "Z", "tailLines": None}
