"""`yuqing k8s doctor`: each thing that can be missing is found and comes with its cure."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import LABELS, cronjob, pod
from yuqing.cluster.connection import Cluster
from yuqing.cluster.doctor import doctor, named
from yuqing.doctor import Check
from yuqing.k8s_cli import app
from yuqing.settings import Settings

READY = {
    "status": "ready",
    "away": [],
    "dependencies": {name: {"ok": True} for name in ("database", "object_store", "language_model")},
}


def deployment(name: str, replicas: int, ready: int, gpus: int = 0, **spec: Any) -> dict[str, Any]:
    """A Deployment as a server returns it."""
    container = {
        "name": "main",
        "resources": {"limits": {"nvidia.com/gpu": gpus} if gpus else {}},
        "env": [
            {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "yuqing-database", "key": "url"}}},
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "x", "optional": True}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    labels = {**LABELS, "app.kubernetes.io/component": name}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container], **spec}}},
        "status": {"readyReplicas": ready},
    }


@pytest.fixture
def healthy(server: ApiServer) -> ApiServer:
    """A namespace in which nothing is wrong."""
    server.put("deployments", deployment("gateway", 1, 1))
    server.put("deployments", deployment("llm", 1, 1, gpus=1))
    server.put("cronjobs", cronjob("clean", "clean"))
    server.put("pods", pod("gateway-1", "gateway"))
    server.put("secrets", {"metadata": {"name": "yuqing-database"}, "data": {"url": "cG9zdGdyZXM="}})
    server.put("configmaps", {"metadata": {"name": "settings"}, "data": {}})
    gpus = {"allocatable": {"nvidia.com/gpu": "2"}, "capacity": {"nvidia.com/gpu": "2"}}
    server.put("nodes", {"metadata": {"name": "gpu-1"}, "status": gpus}, namespace="")
    claim = {"metadata": {"name": "models"}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Bound"}}
    server.put("persistentvolumeclaims", claim)
    server.put("storageclasses", {"metadata": {"name": "fast"}}, namespace="")
    server.pages["gateway-1/readyz"] = (200, READY)
    return server


def bad(cluster: Cluster, settings: Settings) -> dict[str, Check]:
    """The checks that are not ok, by their name."""
    return {check.name: check for check in doctor(cluster, settings) if check.state != "ok"}


def test_a_healthy_cluster_has_no_findings(healthy: ApiServer, cluster: Cluster, cluster_settings: Settings) -> None:
    assert bad(cluster, cluster_settings) == {}
    shown = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    assert shown.exit_code == 0
    names = [check["name"] for check in json.loads(shown.output)["checks"]]
    assert names == [
        *("cluster", "rights", "workloads", "GPU plug-in", "storage", "secrets", "configmaps", "pods"),
        *("database", "object store", "language model"),
    ]
    assert "v1.34.1" in CliRunner().invoke(app, ["doctor"], catch_exceptions=False).output


def test_each_lack_is_found_with_its_cure(healthy: ApiServer, cluster: Cluster, cluster_settings: Settings) -> None:
    healthy.put("deployments", deployment("asr", 2, 1, gpus=4, imagePullSecrets=[{"name": "registry"}]))
    healthy.put("cronjobs", cronjob("clean", "clean", suspend=True))
    healthy.put("secrets", {"metadata": {"name": "yuqing-database"}, "data": {"password": "eA=="}})
    del healthy.objects[("configmaps", "yuqing", "settings")]
    status = {"allocatable": {"nvidia.com/gpu": "1"}, "capacity": {"nvidia.com/gpu": "2"}}
    healthy.put("nodes", {"metadata": {"name": "gpu-1"}, "status": status}, namespace="")
    for name, wanted in (("cache", "slow"), ("data", None)):
        spec = {"storageClassName": wanted} if wanted else {}
        healthy.put(
            "persistentvolumeclaims", {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Pending"}}
        )
    pull = [{"name": "main", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    healthy.put("pods", pod("asr-1", "asr", ready=False, containerStatuses=pull))
    crash = [{"name": "main", "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    healthy.put("pods", pod("clean-1", "clean", ready=False, containerStatuses=crash))
    room = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }
    ]
    healthy.put("pods", pod("asr-2", "asr", phase="Pending", conditions=room, containerStatuses=None))
    away = {"ok": False, "reason": "PostgreSQL does not answer", "cure": "check YUQING_DATABASE__URL"}
    healthy.pages["gateway-1/readyz"] = (503, {**READY, "dependencies": {**READY["dependencies"], "database": away}})  # type: ignore[dict-item]
    found = bad(cluster, cluster_settings)
    expected = {
        "asr": ("1 of 2 replicas", "its pods"),
        "clean": ("suspended", "kubectl patch cronjob clean"),
        "node gpu-1": ("1 of 2 GPUs are not healthy", "device plug-in"),
        "GPU plug-in": (
            "asks for 4 nvidia.com/gpu, and no node offers so many (offered: {'gpu-1': 1})",
            "device plug-in",
        ),
        "claim cache": ("the storage class slow does not exist", "there are: fast"),
        "claim data": ("no storage class is the default", "is-default-class=true"),
        "Secret yuqing-database": ("lacks url, which Deployment", "docs/deploy.md"),
        "Secret registry": ("does not exist, and Deployment asr needs it", "docs/deploy.md"),
        "ConfigMap settings": ("does not exist", "docs/deploy.md"),
        "pod asr-1": ("ImagePullBackOff", "pull secret"),
        "pod clean-1": ("CrashLoopBackOff", "yuqing k8s logs clean --previous"),
        "pod asr-2": ("Unschedulable: 0/3 nodes are available", "kubectl describe pod asr-2"),
        "database": ("PostgreSQL does not answer", "YUQING_DATABASE__URL"),
    }
    assert set(found) == set(expected)
    for name, (detail, cure) in expected.items():
        assert detail in found[name].detail, name
        assert cure in found[name].cure, name
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1


def test_without_rights_the_rest_is_still_looked_at(
    healthy: ApiServer, cluster: Cluster, cluster_settings: Settings
) -> None:
    healthy.denied = {("get", "secrets"), ("list", "nodes"), ("create", "jobs"), ("get", "pods/proxy")}
    found = bad(cluster, cluster_settings)
    assert {name: check.state for name, check in found.items()} == dict.fromkeys(
        ("rights", "GPU plug-in", "secrets", "reachability"), "warning"
    )
    assert "create jobs (trigger)" in found["rights"].detail
    assert 'cannot get resource "secrets"' in found["secrets"].detail
    healthy.denied = {("list", "pods")}
    assert bad(cluster, cluster_settings)["rights"].state == "failed"


def test_an_empty_namespace_and_a_cluster_that_is_away(
    server: ApiServer, cluster: Cluster, cluster_settings: Settings
) -> None:
    found = bad(cluster, cluster_settings)
    assert set(found) == {"workloads", "reachability"}
    assert "kubectl apply -k" in found["workloads"].cure
    server.tokens = set()
    (alone,) = doctor(cluster, cluster_settings)
    assert (alone.state, "Unauthorized" in alone.detail) == ("failed", True)
    server.stop()
    (alone,) = doctor(Cluster(cluster_settings), cluster_settings)
    assert "does not answer" in alone.detail


def test_what_a_pod_names_is_found_wherever_it_stands() -> None:
    spec = {
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init"}}]}],
        "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "loose", "optional": True}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "whole"}},
            {"name": "b", "secret": {"secretName": "part", "items": [{"key": "k1", "path": "p"}]}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "one"}}, {"configMap": {"name": "two"}}]}},
            {"name": "d", "configMap": {"name": "three", "items": [{"key": "k2", "path": "p"}]}},
            {"name": "e", "emptyDir": {}},
        ],
        "imagePullSecrets": [{"name": "pull"}],
    }
    assert set(named(spec, "secrets")) == {("init", ""), ("whole", ""), ("part", "k1"), ("one", ""), ("pull", "")}
    assert set(named(spec, "configmaps")) == {("two", ""), ("three", "k2")}
