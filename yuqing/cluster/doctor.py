"""`yuqing k8s doctor`: what the cluster lacks for yuqing, and the cure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from yuqing.cluster.connection import PART_OF, Cluster, ClusterError, NotAllowed, NotFound
from yuqing.cluster.jobs import CRONJOBS
from yuqing.cluster.status import GPU, PODS, pod_objects, pod_state, pods, quantity
from yuqing.doctor import Check
from yuqing.settings import Settings

_APPS = "/apis/apps/v1/namespaces/{namespace}"
_OWNERS = {f"{_APPS}/deployments": "Deployment", f"{_APPS}/statefulsets": "StatefulSet", CRONJOBS: "CronJob"}
# Verb, API group, resource, what cannot be done without it, and whether that is most of it.
_RIGHTS = (
    ("list", "", "pods", "status, logs, adapters", True),
    ("list", "batch", "jobs", "status, trigger", True),
    ("get", "batch", "cronjobs", "trigger", True),
    ("create", "batch", "jobs", "trigger", False),
    ("watch", "batch", "jobs", "trigger --wait", False),
    ("get", "", "pods/log", "logs", False),
    ("get", "", "pods/proxy", "the queues in status", False),
    ("create", "", "pods/portforward", "adapters rollout from outside the cluster", False),
    ("list", "", "nodes", "the GPUs in status", False),
)
_CURES = {
    "ImagePullBackOff": "check the image's name, and the pull secret of its service account",
    "ErrImagePull": "check the image's name, and the pull secret of its service account",
    "CrashLoopBackOff": "see why: `yuqing k8s logs {component} --previous`",
    "Error": "see why: `yuqing k8s logs {component} --previous`",
    "OOMKilled": "raise the memory limit of {component}",
    "CreateContainerConfigError": "a Secret or ConfigMap that it names is missing: see below",
    "Unschedulable": "no node has room: `kubectl describe pod {name}` tells what for",
    "Evicted": "its node ran out of memory or disk: raise its requests, or add a node",
}


def doctor(cluster: Cluster, settings: Settings) -> list[Check]:
    """All checks. When the API server cannot be reached there is that one alone."""
    try:
        version = cluster.request("ask for the version", "GET", "/version")
    except ClusterError as error:
        return [Check("cluster", "failed", error.message, error.cure)]
    where = "this pod's cluster" if cluster.inside else cluster.server
    checks = [
        Check("cluster", "ok", f"Kubernetes {version.get('gitVersion')} at {where}, namespace {cluster.namespace}")
    ]
    templates: list[tuple[str, dict[str, Any]]] = []
    checks += _looked("rights", lambda: rights(cluster))
    checks += _looked("workloads", lambda: workloads(cluster, templates))
    checks += _looked("GPU plug-in", lambda: gpu_plugin(cluster, [spec for _, spec in templates]))
    checks += _looked("storage", lambda: storage(cluster))
    for kind in ("secrets", "configmaps"):
        checks += _looked(kind, lambda kind=kind: references(cluster, kind, templates))  # type: ignore[misc]
    checks += _looked("pods", lambda: troubled(cluster))
    checks += _looked("reachability", lambda: reachability(cluster, settings))
    return checks


def _looked(name: str, look: Callable[[], Iterator[Check]]) -> list[Check]:
    """The checks; where the account may not look, that is a warning, and what else goes wrong a failure."""
    try:
        return list(look())
    except NotAllowed as error:
        return [Check(name, "warning", f"not looked at: {error.message}", error.cure)]
    except ClusterError as error:
        return [Check(name, "failed", error.message, error.cure)]


def rights(cluster: Cluster) -> Iterator[Check]:
    """What the account may do, asked of the API server."""
    lacking: dict[bool, list[str]] = defaultdict(list)
    for verb, group, resource, purpose, needed in _RIGHTS:
        name, _, sub = resource.partition("/")
        wanted = {"namespace": cluster.namespace, "verb": verb, "group": group, "resource": name}
        if sub:
            wanted["subresource"] = sub
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        if not cluster.request("ask for rights", "POST", path, body=body)["status"]["allowed"]:
            lacking[needed].append(f"{verb} {resource} ({purpose})")
    for needed, found in lacking.items():
        yield Check(
            "rights", "failed" if needed else "warning", f"missing: {', '.join(found)}", "bind the role of deploy/k8s"
        )
    if not lacking:
        yield Check("rights", "ok", f"all {len(_RIGHTS)} that `yuqing k8s` uses")


def workloads(cluster: Cluster, templates: list[tuple[str, dict[str, Any]]]) -> Iterator[Check]:
    """Deployments and StatefulSets with fewer replicas than asked for, CronJobs that are suspended; collects pod templates."""
    found = 0
    for path, kind in _OWNERS.items():
        for item in cluster.items(f"list the {path.rpartition('/')[2]}", path, labelSelector=PART_OF):
            found += 1
            name, spec, now = item["metadata"]["name"], item["spec"], item.get("status") or {}
            template = spec["jobTemplate"]["spec"]["template"] if kind == "CronJob" else spec["template"]
            templates.append((f"{kind} {name}", template["spec"]))
            wanted, ready = int(spec.get("replicas", 1)), int(now.get("readyReplicas") or 0)
            if kind != "CronJob" and ready < wanted:
                yield Check(name, "failed", f"{ready} of {wanted} replicas are ready", "see its pods below")
            if kind == "CronJob" and spec.get("suspend"):
                cure = f'kubectl patch cronjob {name} -p \'{{"spec":{{"suspend":false}}}}\''
                yield Check(name, "warning", "the CronJob is suspended", cure)
    if not found:
        yield Check(
            "workloads",
            "failed",
            f"namespace {cluster.namespace} has nothing of yuqing",
            "kubectl apply -k deploy/k8s/...",
        )
    else:
        yield Check("workloads", "ok", f"{found} found")


def gpu_plugin(cluster: Cluster, specs: list[dict[str, Any]]) -> Iterator[Check]:
    """Whether a node offers the GPUs that pods ask for, and offers all that it has."""
    asked = max(
        (
            quantity(((item.get("resources") or {}).get("limits") or {}).get(GPU))
            for spec in specs
            for item in spec["containers"]
        ),
        default=0,
    )
    if not asked:
        yield Check("GPU plug-in", "ok", "no pod asks for a GPU")
        return
    offered = {}
    for node in cluster.items("list the nodes", "/api/v1/nodes"):
        found = node.get("status") or {}
        usable, there = (quantity((found.get(part) or {}).get(GPU)) for part in ("allocatable", "capacity"))
        if usable < there:
            yield Check(
                f"node {node['metadata']['name']}",
                "warning",
                f"{there - usable} of {there} GPUs are not healthy",
                "look at the device plug-in's log on that node",
            )
        if usable:
            offered[node["metadata"]["name"]] = usable
    if max(offered.values(), default=0) < asked:
        yield Check(
            "GPU plug-in",
            "failed",
            f"a pod asks for {asked} {GPU}, and no node offers so many (offered: {offered or 'none'})",
            "install NVIDIA's device plug-in (or GPU operator), or add a node with GPUs",
        )
    else:
        yield Check("GPU plug-in", "ok", f"{sum(offered.values())} GPUs on {len(offered)} nodes")


def storage(cluster: Cluster) -> Iterator[Check]:
    """Claims that are not bound, and the storage class that they would need."""
    claims = cluster.items("list the claims", "/api/v1/namespaces/{namespace}/persistentvolumeclaims")
    classes = cluster.items("list the storage classes", "/apis/storage.k8s.io/v1/storageclasses")
    known = {item["metadata"]["name"] for item in classes}
    mark = "storageclass.kubernetes.io/is-default-class"
    defaults = [item for item in classes if (item["metadata"].get("annotations") or {}).get(mark) == "true"]
    for claim in claims:
        name, wanted = claim["metadata"]["name"], claim["spec"].get("storageClassName")
        phase = (claim.get("status") or {}).get("phase")
        if phase == "Bound":
            continue
        if wanted and wanted not in known:
            cure = f"there are: {', '.join(sorted(known)) or 'none'}"
            yield Check(f"claim {name}", "failed", f"the storage class {wanted} does not exist", cure)
        elif wanted is None and not defaults:
            yield Check(f"claim {name}", "failed", "no storage class is the default", f"annotate one with {mark}=true")
        else:
            yield Check(f"claim {name}", "warning", f"{phase}: it is bound when a pod uses it", "")
    bound = sum((claim.get("status") or {}).get("phase") == "Bound" for claim in claims)
    yield Check("storage", "ok", f"{bound} of {len(claims)} claims are bound, {len(classes)} storage classes")


def references(cluster: Cluster, kind: str, templates: list[tuple[str, dict[str, Any]]]) -> Iterator[Check]:
    """Secrets or ConfigMaps, and keys in them, that pods name and that do not exist; optional ones may be missing."""
    wanted: dict[str, dict[str, str]] = defaultdict(dict)  # name -> key ("": the object itself) -> who names it
    for owner, spec in templates:
        for name, key in named(spec, kind):
            wanted[name].setdefault(key, owner)
    single = "Secret" if kind == "secrets" else "ConfigMap"
    good = 0
    for name, keys in sorted(wanted.items()):
        owner = next(iter(keys.values()))
        try:
            found = cluster.request(
                f"look at the {single} {name}", "GET", f"/api/v1/namespaces/{{namespace}}/{kind}/{name}"
            )
        except NotFound:
            yield Check(
                f"{single} {name}", "failed", f"does not exist, and {owner} needs it", "docs/deploy.md lists its keys"
            )
            continue
        there = {*(found.get("data") or {}), *(found.get("binaryData") or {}), *(found.get("stringData") or {})}
        missing = sorted(key for key in keys if key and key not in there)
        if missing:
            cure = "docs/deploy.md says what belongs there"
            yield Check(
                f"{single} {name}", "failed", f"lacks {', '.join(missing)}, which {keys[missing[0]]} needs", cure
            )
        else:
            good += 1
    yield Check(kind, "ok", f"{good} of {len(wanted)} have all that pods read from them")


def named(spec: dict[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """The (object, key) pairs of Secrets or ConfigMaps that a pod's spec needs; the key is "" for the whole object."""
    reference, source, volume, field = {
        "secrets": ("secretKeyRef", "secretRef", "secret", "secretName"),
        "configmaps": ("configMapKeyRef", "configMapRef", "configMap", "name"),
    }[kind]
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for variable in container.get("env") or []:
            found = (variable.get("valueFrom") or {}).get(reference)
            if found and not found.get("optional"):
                yield found["name"], found["key"]
        for origin in container.get("envFrom") or []:
            found = origin.get(source)
            if found and not found.get("optional"):
                yield found["name"], ""
    for item in spec.get("volumes") or []:
        parts = [item, *((item.get("projected") or {}).get("sources") or [])]
        for part in parts:
            found = part.get(volume)
            if found and not found.get("optional"):
                name = found.get(field) or found["name"]
                yield from ((name, entry["key"]) for entry in found.get("items") or [{"key": ""}])
    if kind == "secrets":
        yield from ((item["name"], "") for item in spec.get("imagePullSecrets") or [])


def troubled(cluster: Cluster) -> Iterator[Check]:
    """Pods that wait for something that does not come by itself."""
    found = pod_objects(cluster)
    bad = 0
    for pod in found:
        state = pod_state(pod)
        if state.ready or state.state in ("Running", "Succeeded", "Pending", "Terminating", "ContainerCreating"):
            continue
        bad += 1
        words = next(
            (
                str(item.get("message"))
                for item in (pod.get("status") or {}).get("conditions") or []
                if item.get("status") == "False" and item.get("message")
            ),
            "",
        )
        cure = _CURES.get(state.state, "kubectl describe pod {name}").format(component=state.component, name=state.name)
        yield Check(f"pod {state.name}", "failed", f"{state.state}{f': {words}' if words else ''}", cure)
    yield Check("pods", "ok", f"{len(found) - bad} of {len(found)} are well")


def reachability(cluster: Cluster, settings: Settings) -> Iterator[Check]:
    """Whether the services answer inside the cluster, as a gateway sees them (its /readyz, through the API server)."""
    ready = [pod for pod in pods(cluster, "gateway") if pod.state == "Running"]
    if not ready:
        yield Check("reachability", "failed", "no gateway runs that could be asked", "see its pods above")
        return
    path = f"{PODS}/{ready[0].name}:{settings.gateway.port}/proxy/readyz"
    found = cluster.request("ask the gateway whether it is ready", "GET", path, also=503)
    for name, answer in (found.get("dependencies") or {}).items():
        words = str(answer.get("reason") or f"answers the pod {ready[0].name}")
        yield Check(
            name.replace("_", " "), "ok" if answer.get("ok") else "failed", words, str(answer.get("cure") or "")
        )
