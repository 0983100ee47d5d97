"""Jobs made from CronJobs, as `kubectl create job --from=cronjob/NAME` makes them, and waiting for their end."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from yuqing.cluster.connection import PART_OF, Cluster, ClusterAway, Conflict, NotFound, Outdated
from yuqing.identity import new_ulid

CRONJOBS = "/apis/batch/v1/namespaces/{namespace}/cronjobs"
JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
JobState = Literal["running", "succeeded", "failed"]
# A Job's name becomes a label's value, and its pods' names get six characters more: 63 in all.
_NAME_LENGTH = 57
_SUFFIX = 6
_NAMES = 3  # tries to find a free one


@dataclass(frozen=True)
class Triggered:
    """A Job that was made, and the CronJob that it was made from."""

    name: str
    cronjob: str


def state(job: dict[str, Any]) -> JobState:
    """Whether a Job still runs, by its conditions."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "SuccessCriteriaMet"):
            return "succeeded"
        if condition.get("status") == "True" and condition.get("type") in ("Failed", "FailureTarget"):
            return "failed"
    return "running"


def owner(job: dict[str, Any]) -> str:
    """The name of the CronJob that made the Job, or ""."""
    owners = job["metadata"].get("ownerReferences") or []
    return next((str(item["name"]) for item in owners if item.get("kind") == "CronJob"), "")


def cronjobs(cluster: Cluster, component: str | None = None) -> list[dict[str, Any]]:
    """The namespace's CronJobs of yuqing, of one component (the stage's name) or all. Raises ClusterError."""
    selector = PART_OF + (f",app.kubernetes.io/component={component}" if component else "")
    return cluster.items("list the CronJobs", CRONJOBS, labelSelector=selector)


def trigger(
    cluster: Cluster, name: str, *, arguments: Sequence[str] | None = None, force: bool = False, by: str = ""
) -> Triggered:
    """Make a Job of a CronJob now.

    `arguments` take the place of the container's. Where the CronJob forbids two Jobs at the same time, so does this, unless it
    is told to with `force`. `by` is written into an annotation. Raises NotFound (with the names that there are), Conflict,
    NotAllowed, ClusterError.
    """
    what = f"start {name}"
    try:
        found = cluster.request(what, "GET", f"{CRONJOBS}/{name}")
    except NotFound:
        known = ", ".join(sorted(item["metadata"]["name"] for item in cronjobs(cluster))) or "none"
        raise NotFound(
            f"there is no CronJob {name} in namespace {cluster.namespace}", cure=f"there are: {known}"
        ) from None
    if found["spec"].get("concurrencyPolicy") == "Forbid" and not force:
        _refuse_second(cluster, found)
    for _ in range(_NAMES):
        job = job_from(found, arguments, by)
        try:
            cluster.request(what, "POST", JOBS, body=job)
        except Conflict:
            continue  # the name is taken
        return Triggered(job["metadata"]["name"], name)
    raise Conflict(f"cannot start {name}: {_NAMES} names that were made up are taken", cure="try again")


def _refuse_second(cluster: Cluster, cronjob: dict[str, Any]) -> None:
    uid = cronjob["metadata"]["uid"]
    for job in cluster.items("list the Jobs", JOBS):
        owners = job["metadata"].get("ownerReferences") or []
        if state(job) == "running" and any(item.get("uid") == uid for item in owners):
            raise Conflict(
                f"{cronjob['metadata']['name']} runs already, as the Job {job['metadata']['name']}",
                cure="wait for its end, or give --force",
            )


def job_from(cronjob: dict[str, Any], arguments: Sequence[str] | None = None, by: str = "") -> dict[str, Any]:
    """The Job that kubectl makes of a CronJob: its template, the annotation of a Job made by hand, and its owner.

    As in https://github.com/kubernetes/kubectl/blob/master/pkg/cmd/create/create_job.go: the owner blocks no deletion, for
    which the right to cronjobs/finalizers would be needed.
    """
    name, template = cronjob["metadata"]["name"], cronjob["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"}
    if by:
        annotations["yuqing/started-by"] = by
    spec = copy.deepcopy(template["spec"])
    if arguments is not None:
        spec["template"]["spec"]["containers"][0]["args"] = list(arguments)
    suffix = new_ulid().lower()[-_SUFFIX:]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name[: _NAME_LENGTH - _SUFFIX - 1].rstrip('-.')}-{suffix}",
            "annotations": annotations,
            "labels": dict(metadata.get("labels") or {}),
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": name,
                    "uid": cronjob["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": spec,
    }


def wait_for(
    cluster: Cluster, name: str, timeout_s: float, watch: Callable[[dict[str, Any]], None] = lambda _: None
) -> JobState:
    """Wait for a Job's end, which is watched; "running" when the time is over first.

    A watch that the server ends, that breaks or that is too old begins again from the Job as it is then. Raises NotFound when
    the Job is deleted, NotAllowed, ClusterError; ClusterAway when the API server is away for the rest of the time.
    """
    what, deadline = f"wait for the Job {name}", time.monotonic() + timeout_s
    gone: ClusterAway | None = None
    while (left := deadline - time.monotonic()) > 0:
        try:
            job = cluster.request(what, "GET", f"{JOBS}/{name}")
            gone = None
            watch(job)
            if (reached := state(job)) != "running":
                return reached
            if (reached := _watch(cluster, what, job, left, watch)) != "running":
                return reached
        except Outdated:
            pass
        except ClusterAway as error:
            gone = error
        time.sleep(min(cluster.settings.poll_s, max(0.0, deadline - time.monotonic())))
    if gone:
        raise gone
    return "running"


def _watch(
    cluster: Cluster, what: str, job: dict[str, Any], seconds: float, watch: Callable[[dict[str, Any]], None]
) -> JobState:
    """The events of one watch; "running" when the server has ended it. Raises Outdated, NotFound, ClusterAway."""
    name, allowed = job["metadata"]["name"], max(1, int(seconds))
    query = {
        "watch": "true",
        "fieldSelector": f"metadata.name={name}",
        "resourceVersion": job["metadata"]["resourceVersion"],
        "timeoutSeconds": allowed,
    }
    for line in cluster.lines(what, JOBS, silence_s=allowed + cluster.settings.timeout_s, **query):
        try:
            event = json.loads(line)
        except ValueError:  # the connection broke in the middle of it
            return "running"
        if event["type"] == "ERROR":
            if event["object"].get("code") == 410:
                raise Outdated(f"cannot {what}: {event['object'].get('message')}")
            raise ClusterAway(f"cannot {what}: {event['object'].get('message')}", cure="try again later")
        if event["type"] == "DELETED":
            raise NotFound(f"the Job {name} was deleted", cure="start it again")
        if event["type"] in ("ADDED", "MODIFIED"):
            watch(event["object"])
            if (reached := state(event["object"])) != "running":
                return reached
    return "running"
