"""A cluster of the test's own, and the objects that yuqing's manifests make."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.yuqing.cluster.api_server import ApiServer
from yuqing.cluster.connection import Cluster
from yuqing.settings import Settings, get_settings

LABELS = {"app.kubernetes.io/part-of": "yuqing"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server that listens."""
    made = ApiServer(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def cluster_settings(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings that lead to it; without a database and S3."""
    monkeypatch.setenv("YUQING_CLUSTER__KUBECONFIG", str(server.kubeconfig()))
    monkeypatch.setenv("YUQING_CLUSTER__POLL_S", "0.05")
    monkeypatch.setenv("YUQING_CLUSTER__TIMEOUT_S", "5")
    monkeypatch.setenv("YUQING_DATA_DIR", str(tmp_path / "state"))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def cluster(cluster_settings: Settings) -> Cluster:
    """The way to it."""
    return Cluster(cluster_settings)


def cronjob(name: str, component: str, **spec: Any) -> dict[str, Any]:
    """A CronJob as a server returns it."""
    labels = {**LABELS, "app.kubernetes.io/component": component}
    pod = {
        "serviceAccountName": component,
        "restartPolicy": "Never",
        "containers": [
            {"name": "main", "image": "yuqing-crawler:1", "command": ["yuqing"], "args": [component, "--all"]}
        ],
        "fieldOfALaterRelease": {"kept": True},
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "schedule": "*/10 * * * *",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {
                "metadata": {"labels": labels, "annotations": {"team": "media"}},
                "spec": {"backoffLimit": 2, "template": {"metadata": {"labels": labels}, "spec": pod}},
            },
            **spec,
        },
        "status": {"lastScheduleTime": "2026-06-01T08:10:00Z", "active": [{"name": f"{name}-1"}]},
    }


def pod(name: str, component: str, *, ready: bool = True, gpus: int = 0, **status: Any) -> dict[str, Any]:
    """A running pod as a server returns it."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "metadata": {"name": name, "labels": {**LABELS, "app.kubernetes.io/component": component}},
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "main", "ports": [{"name": "http", "containerPort": 8001}], "resources": {"limits": limits}}
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "startTime": "2026-06-01T08:00:00Z",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "main", "restartCount": 3, "state": {"running": {}}}],
            **status,
        },
    }
