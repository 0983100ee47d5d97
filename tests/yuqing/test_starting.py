"""Starting a crawl or a clean: a Job in a pod, a process anywhere else, one at a time."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import cronjob
from tests.yuqing.cluster.conftest import server as server  # a fixture
from yuqing import starting
from yuqing.cluster import connection
from yuqing.cluster.connection import NotAllowed, NotFound
from yuqing.errors import YuqingError
from yuqing.settings import Settings, load_settings
from yuqing.starting import AlreadyRunning, Run, runs, start


@pytest.fixture
def in_pod(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As in a pod: the service account's files and the address in the environment."""
    host, port = server.http.server_address[:2]
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(host))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
    (tmp_path / "token").write_text("token-1")
    (tmp_path / "namespace").write_text("yuqing\n")
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    return load_settings(data_dir=tmp_path / "state")


def test_in_a_pod_every_cronjob_of_the_stage_gets_a_job(server: ApiServer, in_pod: Settings) -> None:
    for name in ("crawl-a", "crawl-b"):
        server.put("cronjobs", cronjob(name, "crawl"))
    server.put("cronjobs", cronjob("clean", "clean"))
    made = start(in_pod, "crawl", by="lin@example.com")
    assert {run.name.rpartition("-")[0] for run in made} == {"crawl-a", "crawl-b"}
    server.change("jobs", made[0].name, status={"conditions": [{"type": "Failed", "status": "True"}]})
    assert {(run.name, run.state) for run in runs(in_pod, "crawl")} == {
        (made[0].name, "failed"),
        (made[1].name, "running"),
    }
    # The one that has ended starts again; when all run, that is told.
    assert len(start(in_pod, "crawl")) == 1
    with pytest.raises(AlreadyRunning, match="runs already, as the Job crawl-"):
        start(in_pod, "crawl")
    (named,) = start(in_pod, "crawl", ["site-a", "site-b"])
    (container,) = server.objects[("jobs", "yuqing", named.name)]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["crawl", "site-a", "site-b"]
    assert runs(in_pod, "clean") == []
    (replay,) = start(in_pod, "clean", options=["--replay", "quarantine/cleaning/dt=2026-11-20/x.jsonl.gz"])
    (container,) = server.objects[("jobs", "yuqing", replay.name)]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["clean", "--replay", "quarantine/cleaning/dt=2026-11-20/x.jsonl.gz"]


def test_in_a_pod_what_is_missing_is_told(server: ApiServer, in_pod: Settings) -> None:
    with pytest.raises(NotFound, match="no CronJob of the component clean"):
        start(in_pod, "clean")
    server.put("cronjobs", cronjob("clean", "clean"))
    server.denied.add(("create", "jobs"))
    with pytest.raises(NotAllowed, match='cannot create resource "jobs"'):
        start(in_pod, "clean")


def test_a_pods_token_is_read_again_when_it_is_refused(server: ApiServer, in_pod: Settings, tmp_path: Path) -> None:
    cluster = connection.Cluster(in_pod)
    assert cluster.inside and cluster.namespace == "yuqing"
    assert cluster.items("list the pods", "/api/v1/namespaces/{namespace}/pods") == []
    server.tokens = {"token-2"}
    (tmp_path / "token").write_text("token-2")  # the kubelet renews it before the minute that the client waits is over
    assert cluster.items("list the pods", "/api/v1/namespaces/{namespace}/pods") == []


def _record(settings: Settings, run: Run) -> Path:
    return starting._folder(settings) / f"{run.stage}-{run.name}.json"


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_elsewhere_a_process_is_started_and_a_second_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(data_dir=tmp_path / "state")
    # The real command; without services it says so and ends with status 2.
    monkeypatch.setenv("YUQING_DATA_DIR", str(tmp_path / "state"))
    (run,) = start(settings, "clean", by="lin")
    assert (run.kind, run.state) == ("process", "running")
    with pytest.raises(AlreadyRunning, match="a clean runs already"):
        start(settings, "clean")
    _until(lambda: runs(settings, "clean")[0].state == "failed")
    assert "not configured" in Path(runs(settings, "clean")[0].detail).read_text()
    (second,) = start(settings, "clean")
    assert second.name > run.name  # of a process's number another run may be given
    os.kill(
        json.loads(_record(settings, second).read_text())["pid"], signal.SIGKILL
    )  # nothing has to be cleared away after a kill
    _until(lambda: runs(settings, "clean")[0].state == "failed")
    (third,) = start(settings, "clean")
    assert runs(settings, "clean")[0].name == third.name
    _until(lambda: runs(settings, "clean")[0].state == "failed")


def test_a_run_whose_starter_ended_is_unknown_when_it_is_over(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "state")
    folder = starting._folder(settings)
    gone = (
        '{"stage": "crawl", "pid": %d, "state": "running", "started": "2026-06-30T12:00:00Z", "detail": "", "by": ""}'
    )
    (folder / "crawl-01a.json").write_text(gone % 2**22)
    (folder / "crawl-01b.json").write_text(gone % os.getpid())  # lives, and is another command
    assert [(run.name, run.state) for run in runs(settings, "crawl")] == [("01b", "unknown"), ("01a", "unknown")]
    # What a full disk or another release left hides no run.
    for number, data in enumerate([b"", b'{"stage": "crawl"', b"[]", b"{}", b"\xff", (gone % 1).encode()[:-1]]):
        (folder / f"crawl-01c{number}.json").write_bytes(data)
    (folder / "crawl-01d.json").mkdir()
    assert [run.name for run in runs(settings, "crawl")] == ["01b", "01a"]


@pytest.mark.parametrize("name", ["", "--all", "-v", "a\nb"])
def test_a_name_that_would_be_an_option_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(YuqingError, match="no site's name"):
        start(load_settings(data_dir=tmp_path / "state"), "crawl", [name])
