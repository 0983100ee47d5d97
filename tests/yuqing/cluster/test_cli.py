"""`yuqing k8s` on a terminal: one screen, and errors that say what to do."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import LABELS, cronjob, pod
from yuqing.cluster.connection import ClusterAway, NoCluster, NotAllowed, NotFound
from yuqing.errors import YuqingError
from yuqing.k8s_cli import app
from yuqing.settings import Settings, get_settings

METRICS = """# HELP yuqing_jobs Jobs by queue and status
# TYPE yuqing_jobs gauge
yuqing_jobs{queue="analyze",status="todo"} 41.0
yuqing_jobs{queue="analyze",status="doing"} 2.0
yuqing_jobs{queue="transcribe",status="failed"} 1.0
# TYPE yuqing_oldest_job_seconds gauge
yuqing_oldest_job_seconds{queue="analyze"} 75.5
"""


@pytest.fixture
def system(server: ApiServer) -> ApiServer:
    """A namespace with a little of everything, and a pod of somebody else's on the GPU node."""
    server.put("cronjobs", cronjob("crawl-news", "crawl"))
    server.put("cronjobs", cronjob("clean", "clean", suspend=True))
    for number in range(13):
        status = {"startTime": f"2026-06-01T08:{number:02}:00Z", "conditions": [{"type": "Complete", "status": "True"}]}
        labels = {**LABELS, "app.kubernetes.io/component": "clean"}
        server.put("jobs", {"metadata": {"name": f"clean-{number}", "labels": labels}, "spec": {}, "status": status})
    server.put("pods", pod("gateway-1", "gateway"))
    server.put("pods", pod("llm-1", "llm", gpus=1))
    waiting = [{"name": "main", "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    server.put("pods", pod("asr-1", "asr", ready=False, containerStatuses=waiting))
    unscheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    server.put("pods", pod("asr-2", "asr", phase="Pending", conditions=unscheduled, containerStatuses=None))
    server.put("pods", pod("theirs", "training", gpus=4), namespace="others")
    server.put("pods", {**pod("ended", "training", gpus=2, phase="Succeeded")}, namespace="others")
    server.put("pods", {"metadata": {"name": "unrelated"}, "spec": {}, "status": {}})
    gpus = {"allocatable": {"nvidia.com/gpu": "8", "cpu": "64"}}
    model = {"nvidia.com/gpu.product": "NVIDIA-H100"}
    server.put("nodes", {"metadata": {"name": "node-1", "labels": model}, "status": gpus}, namespace="")
    server.put("nodes", {"metadata": {"name": "node-2"}, "status": {"allocatable": {"cpu": "16"}}}, namespace="")
    server.pages["gateway-1/metrics"] = (200, METRICS)
    return server


@pytest.mark.usefixtures("cluster_settings")
def test_status_shows_everything_on_one_screen(system: ApiServer) -> None:
    shown = CliRunner().invoke(app, ["status"], catch_exceptions=False)
    assert shown.exit_code == 0
    for words in ("4 pods, 2 ready", "CrashLoopBackOff", "Unschedulable", "(suspended)", "NVIDIA-H100", "76s", "41"):
        assert words in shown.output, shown.output
    assert "unrelated" not in shown.output
    assert max(map(len, shown.output.splitlines())) <= 118
    found = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert found["missing"] == {}
    (node,) = found["gpus"]
    assert (node["usable"], node["taken"]) == (8, 5)
    assert found["queues"][0] == {"name": "analyze", "waiting": 41, "running": 2, "failed": 0, "oldest_s": 75.5}
    assert [item["name"] for item in found["jobs"]][:2] == ["clean-12", "clean-11"]
    assert len(found["jobs"]) == 10
    assert {(item["name"], item["restarts"]) for item in found["pods"]} >= {("asr-1", 7), ("llm-1", 3)}


@pytest.mark.usefixtures("cluster_settings")
def test_status_without_rights_to_some_things_shows_the_rest(system: ApiServer) -> None:
    system.denied |= {("list", "cronjobs"), ("get", "pods/proxy")}
    found = json.loads(CliRunner().invoke(app, ["status", "--json"], catch_exceptions=False).output)
    assert 'cannot list resource "cronjobs"' in found["missing"]["schedules"]
    assert 'cannot get resource "pods/proxy"' in found["missing"]["queues"]
    assert len(found["pods"]) == 4 and found["gpus"][0]["taken"] == 5
    shown = CliRunner().invoke(app, ["status"]).output
    assert 'schedules: cannot list the CronJobs (namespace yuqing): cronjobs.batch is forbidden: User "system' in (
        " ".join(shown.split())
    )
    system.denied = {("list", "nodes")}
    assert "nodes" in json.loads(CliRunner().invoke(app, ["status", "--json"]).output)["missing"]["gpus"]
    system.denied = {("list", "pods")}
    with pytest.raises(NotAllowed):
        CliRunner().invoke(app, ["status"], catch_exceptions=False)


@pytest.mark.usefixtures("cluster_settings")
def test_trigger_says_the_job_and_waits_when_it_is_told_to(system: ApiServer) -> None:
    started = CliRunner().invoke(app, ["trigger", "crawl-news"], catch_exceptions=False)
    assert started.output.startswith("crawl-news-") and started.output.endswith(": started\n")
    other = CliRunner().invoke(app, ["trigger", "clean", "restore", "latest", "--json"], catch_exceptions=False)
    job = system.objects[("jobs", "yuqing", json.loads(other.output)["job"])]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["restore", "latest"]
    for kind, code in (("Complete", 0), ("Failed", 1)):
        system.on_create = lambda job, kind=kind: system.change(  # type: ignore[misc]
            "jobs", job["metadata"]["name"], status={"conditions": [{"type": kind, "status": "True"}]}
        )
        ended = CliRunner().invoke(app, ["trigger", "crawl-news", "--force", "--wait", "20", "--json"])
        assert ended.exit_code == code
        assert json.loads(ended.output)["state"] == ("succeeded" if code == 0 else "failed")


@pytest.mark.usefixtures("cluster_settings")
def test_logs_of_a_stage(system: ApiServer) -> None:
    stamp = "2026-06-01T08:00:0{}.000000001Z line {}"
    system.logs["gateway-1"] = [[stamp.format(number, number) for number in range(5)]]
    shown = CliRunner().invoke(app, ["logs", "gateway", "--tail", "2"], catch_exceptions=False)
    assert shown.output == "gateway-1  line 3\ngateway-1  line 4\n"
    # Connections that break: the next begins a second too early, and no line comes twice.
    lines = [stamp.format(number, number) for number in range(6)]
    system.logs["gateway-1"] = [lines[:2], lines[1:4], lines[3:]]
    followed = CliRunner().invoke(app, ["logs", "gateway", "--follow"], catch_exceptions=False)
    assert followed.output.splitlines() == [f"gateway-1  line {number}" for number in range(6)]
    assert "sinceTime=2026-06-01T08%3A00%3A01Z" in "".join(path for _, path in system.seen)
    begun = CliRunner().invoke(app, ["logs", "asr"], catch_exceptions=False)
    assert begun.output.count("waiting to start: PodInitializing") == 2
    with pytest.raises(YuqingError, match="no stage 'gatewya'"):
        CliRunner().invoke(app, ["logs", "gatewya"], catch_exceptions=False)
    with pytest.raises(NotFound, match="no pod of backup"):
        CliRunner().invoke(app, ["logs", "backup"], catch_exceptions=False)
    with pytest.raises(YuqingError, match="cannot be followed"):
        CliRunner().invoke(app, ["logs", "asr", "-f", "--previous"], catch_exceptions=False)


def test_without_a_cluster_the_cure_is_named(
    server: ApiServer, cluster_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {
        "missing": None,
        "empty": "",
        "no yaml": "{a: [",
        "no list": "clusters: 3\ncontexts: 4\ncurrent-context: a\n",
        "no such context": "contexts: []\nclusters: []\nusers: []\ncurrent-context: gone\n",
        "a list": "- 1\n",
    }
    for name, content in broken.items():
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("YUQING_CLUSTER__KUBECONFIG", str(path))
        get_settings.cache_clear()
        with pytest.raises(NoCluster) as told:
            CliRunner().invoke(app, ["status"], catch_exceptions=False)
        assert "KUBECONFIG" in told.value.cure, name
    monkeypatch.setenv("YUQING_CLUSTER__KUBECONFIG", str(server.kubeconfig()))
    get_settings.cache_clear()
    server.stop()
    with pytest.raises(ClusterAway, match="does not answer") as away:
        CliRunner().invoke(app, ["status"], catch_exceptions=False)
    assert "refused" in away.value.message and server.url in away.value.message


@pytest.mark.usefixtures("cluster_settings")
def test_a_stranger_instead_of_an_api_server(server: ApiServer) -> None:
    path = "/api/v1/namespaces/yuqing/pods"
    for answer in ("<html>Sign in</html>", "[]", "null"):
        server.answers[path] = [(200, answer)]
        with pytest.raises(ClusterAway, match="no JSON object"):
            CliRunner().invoke(app, ["status"], catch_exceptions=False)
