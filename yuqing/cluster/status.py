"""What runs in the cluster: pods, Jobs and CronJobs, queues and GPUs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from yuqing.cluster import jobs
from yuqing.cluster.connection import COMPONENT, PART_OF, Cluster, NotAllowed, NotFound
from yuqing.errors import YuqingError
from yuqing.settings import Settings

T = TypeVar("T")
PODS = "/api/v1/namespaces/{namespace}/pods"
GPU = "nvidia.com/gpu"
_JOBS_SHOWN = 10


@dataclass(frozen=True)
class PodState:
    """A pod: its stage, whether all its containers are ready, why not, restarts, node, age."""

    name: str
    component: str
    ready: bool
    state: str
    restarts: int
    node: str
    started: datetime | None


@dataclass(frozen=True)
class JobRun:
    """A Job of a stage: how it stands, since when, and until when."""

    name: str
    component: str
    state: str
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True)
class Schedule:
    """A CronJob: its schedule, whether it is suspended, when it last ran and last ended well."""

    name: str
    component: str
    schedule: str
    suspended: bool
    running: int
    last_run: datetime | None
    last_success: datetime | None


@dataclass(frozen=True)
class QueueDepth:
    """A queue of the database: jobs that wait, that are worked on, that failed; seconds that the oldest has waited."""

    name: str
    waiting: int
    running: int
    failed: int
    oldest_s: float


@dataclass(frozen=True)
class NodeGpus:
    """A node with GPUs: how many pods may use, and how many are asked for by pods that run or wait on it."""

    name: str
    model: str
    usable: int
    taken: int


@dataclass
class Status:
    """All of it, and what could not be looked at, with the reason."""

    namespace: str
    server: str
    pods: list[PodState] = field(default_factory=list)
    jobs: list[JobRun] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    queues: list[QueueDepth] = field(default_factory=list)
    gpus: list[NodeGpus] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON; times in RFC 3339."""
        return asdict(self)


def status(cluster: Cluster, settings: Settings) -> Status:
    """The state of the namespace. Raises ClusterError when not even the pods can be listed; what else cannot be read is named."""
    found = Status(cluster.namespace, cluster.server, pods=pods(cluster))

    def look(name: str, what: Callable[[], list[T]]) -> list[T]:
        try:
            return what()
        except YuqingError as error:
            found.missing[name] = error.message
            return []

    found.jobs = look("jobs", lambda: job_runs(cluster))
    found.schedules = look("schedules", lambda: schedules(cluster))
    found.gpus = look("gpus", lambda: gpus(cluster, found.missing))
    found.queues = look("queues", lambda: queues(cluster, settings))
    return found


def pods(cluster: Cluster, component: str | None = None) -> list[PodState]:
    """The pods of yuqing, or of one component, in the order of component and name. Raises ClusterError."""
    found = [pod_state(pod) for pod in pod_objects(cluster, component)]
    return sorted(found, key=lambda pod: (pod.component, pod.name))


def pod_objects(cluster: Cluster, component: str | None = None) -> list[dict[str, Any]]:
    """The same as the API server's objects. Raises ClusterError."""
    selector = PART_OF + (f",{COMPONENT}={component}" if component else "")
    return cluster.items("list the pods", PODS, labelSelector=selector)


def pod_state(pod: dict[str, Any]) -> PodState:
    """A pod as `kubectl get pods` would tell it: what it waits for or why it ended counts more than its phase."""
    found = pod.get("status") or {}
    containers = [*(found.get("initContainerStatuses") or []), *(found.get("containerStatuses") or [])]
    reasons = [
        part["reason"]
        for item in containers
        for kind in ("waiting", "terminated")
        if (part := (item.get("state") or {}).get(kind))
        and part.get("reason") not in (None, "Completed", "PodInitializing")
    ]
    unscheduled = next(
        (
            str(item.get("reason"))
            for item in found.get("conditions") or []
            if item.get("type") == "PodScheduled" and item.get("status") == "False"
        ),
        None,
    )
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in found.get("conditions") or [])
    state = "Terminating" if pod["metadata"].get("deletionTimestamp") else None
    return PodState(
        name=pod["metadata"]["name"],
        component=_component(pod),
        ready=ready,
        state=state or next(iter(reasons), None) or unscheduled or str(found.get("reason") or found.get("phase") or ""),
        restarts=sum(int(item.get("restartCount") or 0) for item in containers),
        node=str((pod.get("spec") or {}).get("nodeName") or ""),
        started=_time(found.get("startTime")),
    )


def _component(item: dict[str, Any]) -> str:
    return str((item["metadata"].get("labels") or {}).get(COMPONENT, ""))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def job_runs(cluster: Cluster) -> list[JobRun]:
    """The Jobs of yuqing, those that run first, then the latest. Raises ClusterError."""
    found = [
        JobRun(
            job["metadata"]["name"],
            _component(job),
            jobs.state(job),
            _time((job.get("status") or {}).get("startTime")),
            _time((job.get("status") or {}).get("completionTime")),
        )
        for job in cluster.items("list the Jobs", jobs.JOBS, labelSelector=PART_OF)
    ]
    latest = sorted(found, key=lambda job: str(job.started or ""), reverse=True)
    running = [job for job in latest if job.state == "running"]
    return running + [job for job in latest if job.state != "running"][:_JOBS_SHOWN]


def schedules(cluster: Cluster) -> list[Schedule]:
    """The CronJobs of yuqing. Raises ClusterError."""
    return [
        Schedule(
            item["metadata"]["name"],
            _component(item),
            item["spec"]["schedule"],
            bool(item["spec"].get("suspend")),
            len((item.get("status") or {}).get("active") or []),
            _time((item.get("status") or {}).get("lastScheduleTime")),
            _time((item.get("status") or {}).get("lastSuccessfulTime")),
        )
        for item in jobs.cronjobs(cluster)
    ]


def quantity(value: object) -> int:
    """A whole number of devices from Kubernetes' notation ("2", 2)."""
    found = re.fullmatch(r"\d+", str(value or "0"))
    return int(found[0]) if found else 0


def gpus(cluster: Cluster, missing: dict[str, str]) -> list[NodeGpus]:
    """The nodes with GPUs, and how many are taken, by pods of all namespaces where these may be listed.

    Raises ClusterError when the nodes cannot be listed.
    """
    nodes = [
        node
        for node in cluster.items("list the nodes", "/api/v1/nodes")
        if quantity(((node.get("status") or {}).get("allocatable") or {}).get(GPU))
    ]
    if not nodes:
        return []
    try:
        holders = cluster.items("list the pods of all namespaces", "/api/v1/pods")
    except NotAllowed:
        missing["gpus"] = f"only pods of {cluster.namespace} are counted: the account may not list those of others"
        holders = cluster.items("list the pods", PODS)
    taken = taken_by_node(holders)
    return [
        NodeGpus(
            node["metadata"]["name"],
            str((node["metadata"].get("labels") or {}).get("nvidia.com/gpu.product", "")),
            quantity(node["status"]["allocatable"][GPU]),
            taken[node["metadata"]["name"]],
        )
        for node in nodes
    ]


def taken_by_node(holders: Iterable[dict[str, Any]]) -> dict[str, int]:
    """GPUs that pods hold, by node. A pod that has ended holds none; init containers run before the others, not beside them."""
    taken: dict[str, int] = defaultdict(int)
    for pod in holders:
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        spec = pod.get("spec") or {}

        def asked(containers: list[dict[str, Any]] | None) -> list[int]:
            return [quantity(((item.get("resources") or {}).get("limits") or {}).get(GPU)) for item in containers or []]

        most = max([sum(asked(spec.get("containers"))), *asked(spec.get("initContainers"))])
        taken[str(spec.get("nodeName") or "")] += most
    return taken


def queues(cluster: Cluster, settings: Settings) -> list[QueueDepth]:
    """The depth of every queue: from the database where the settings name one, else from the gateway's metrics.

    The latter go through the API server, so that they can be read from outside. Raises ClusterError, DatabaseAway.
    """
    if settings.database.url is not None:
        return _queues_of_database(settings)
    ready = [pod for pod in pods(cluster, "gateway") if pod.ready]
    if not ready:
        raise NotFound(
            "no gateway is ready, whose metrics tell the queues", cure="set YUQING_DATABASE__URL, or mend it"
        )
    path = f"{PODS}/{ready[0].name}:{settings.gateway.port}/proxy/metrics"
    return queues_of_metrics("\n".join(cluster.lines("read the gateway's metrics", path, cluster.settings.timeout_s)))


def queues_of_metrics(page: str) -> list[QueueDepth]:
    """The queues in a page of Prometheus metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    counts: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "yuqing_jobs":
                counts[sample.labels["queue"]][sample.labels["status"]] = sample.value
            elif sample.name == "yuqing_oldest_job_seconds":
                counts[sample.labels["queue"]]["oldest"] = sample.value
    return [
        QueueDepth(
            name,
            waiting=int(found.get("todo", 0)),
            running=int(found.get("doing", 0)),
            failed=int(found.get("failed", 0)),
            oldest_s=found.get("oldest", 0.0),
        )
        for name, found in sorted(counts.items())
    ]


def _queues_of_database(settings: Settings) -> list[QueueDepth]:
    from sqlalchemy import text

    from yuqing.database import session

    pool = session.engine(settings)
    try:
        with session.transaction(pool) as connection:
            rows = connection.execute(
                text(
                    "SELECT queue_name, count(*) FILTER (WHERE status = 'todo'), count(*) FILTER (WHERE status = 'doing'), "
                    "count(*) FILTER (WHERE status = 'failed'), COALESCE(EXTRACT(epoch FROM now() - (SELECT min(at) FROM "
                    "procrastinate_events WHERE job_id = min(j.id) FILTER (WHERE status = 'todo'))), 0) "
                    "FROM procrastinate_jobs j GROUP BY queue_name ORDER BY queue_name"
                )
            )
            return [QueueDepth(row[0], row[1], row[2], row[3], float(row[4])) for row in rows]
    finally:
        pool.dispose()
