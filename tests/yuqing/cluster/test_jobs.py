"""Jobs from CronJobs, and waiting for them, against an API server that refuses, breaks off and forgets."""

import threading
from typing import Any

import pytest

from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import cronjob
from yuqing.cluster import jobs
from yuqing.cluster.connection import (
    Cluster,
    ClusterAway,
    Conflict,
    NotAllowed,
    NotAuthenticated,
    NotFound,
)

COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2026-06-01T08:20:00Z"}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}


def test_a_job_is_made_as_kubectl_makes_it(server: ApiServer, cluster: Cluster) -> None:
    kept = server.put("cronjobs", cronjob("crawl-news", "crawl"))
    made = jobs.trigger(cluster, "crawl-news", by="ops@example.com")
    job = server.objects[("jobs", "yuqing", made.name)]
    assert made.name.startswith("crawl-news-") and made.cronjob == "crawl-news"
    assert job["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": "crawl-news",
            "uid": kept["metadata"]["uid"],
            "controller": True,
        }
    ]
    assert job["metadata"]["annotations"] == {
        "team": "media",
        "cronjob.kubernetes.io/instantiate": "manual",
        "yuqing/started-by": "ops@example.com",
    }
    assert job["metadata"]["labels"] == kept["spec"]["jobTemplate"]["metadata"]["labels"]
    # Nothing of the template is lost, not even what this client does not know.
    assert job["spec"] == kept["spec"]["jobTemplate"]["spec"]


def test_arguments_take_the_place_of_the_containers(server: ApiServer, cluster: Cluster) -> None:
    kept = server.put("cronjobs", cronjob("crawl-news", "crawl"))
    made = jobs.trigger(cluster, "crawl-news", arguments=["crawl", "site-a"])
    (container,) = server.objects[("jobs", "yuqing", made.name)]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["crawl", "site-a"]
    assert kept["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["crawl", "--all"]


def test_a_name_that_is_too_long_is_cut(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("c" * 52, "crawl"))
    name = jobs.trigger(cluster, "c" * 52).name
    assert len(name) <= 57
    assert ("jobs", "yuqing", name) in server.objects


def test_a_second_job_is_refused_where_the_cronjob_forbids_it(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("crawl-news", "crawl"))
    server.put("cronjobs", cronjob("clean", "clean", concurrencyPolicy="Allow"))
    first = jobs.trigger(cluster, "crawl-news")
    for _ in range(4):  # more than a page of the list
        jobs.trigger(cluster, "clean")
    with pytest.raises(Conflict, match=f"runs already, as the Job {first.name}"):
        jobs.trigger(cluster, "crawl-news")
    second = jobs.trigger(cluster, "crawl-news", force=True)
    for name, status in ((first.name, FAILED), (second.name, COMPLETE)):
        server.change("jobs", name, status=status)
    assert jobs.trigger(cluster, "crawl-news").name not in (first.name, second.name)


def test_taken_names_are_tried_again_and_then_told(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("clean", "clean"))
    taken = {"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": 'jobs.batch "clean-x" already exists'}
    path = "/apis/batch/v1/namespaces/yuqing/jobs"
    server.answers[path] = [(200, {"items": []}), (409, taken), (409, taken)]
    assert jobs.trigger(cluster, "clean").cronjob == "clean"
    server.answers[path] = [(200, {"items": []}), (409, taken), (409, taken), (409, taken)]
    with pytest.raises(Conflict, match="3 names"):
        jobs.trigger(cluster, "clean")


def test_a_cronjob_that_is_not_there_is_told_with_those_that_are(server: ApiServer, cluster: Cluster) -> None:
    for name in ("crawl-a", "crawl-b", "clean"):
        server.put("cronjobs", cronjob(name, name.partition("-")[0]))
    with pytest.raises(NotFound) as told:
        jobs.trigger(cluster, "crawl-c")
    assert told.value.cure == "there are: clean, crawl-a, crawl-b"


@pytest.mark.parametrize("denied", [("get", "cronjobs"), ("list", "jobs"), ("create", "jobs")])
def test_a_missing_right_is_told_in_the_servers_words(
    server: ApiServer, cluster: Cluster, denied: tuple[str, str]
) -> None:
    server.put("cronjobs", cronjob("clean", "clean"))
    server.denied.add(denied)
    with pytest.raises(NotAllowed) as told:
        jobs.trigger(cluster, "clean")
    assert f'cannot {denied[0]} resource "{denied[1]}"' in told.value.message
    assert "yuqing" in told.value.message and "role" in told.value.cure
    assert not [key for key in server.objects if key[0] == "jobs"]


def test_a_token_that_expired_is_read_again(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("clean", "clean", concurrencyPolicy="Allow"))
    jobs.trigger(cluster, "clean")
    server.tokens = {"token-2"}
    (server.folder / "token").write_text("token-2")  # as the kubelet, or a login, renews it
    assert jobs.trigger(cluster, "clean")
    server.tokens = {"token-3"}
    with pytest.raises(NotAuthenticated, match="Unauthorized") as told:
        jobs.trigger(cluster, "clean")
    assert "log in" in told.value.cure


def _ends(server: ApiServer, name: str, status: dict[str, Any], after: float = 0.3) -> None:
    timer = threading.Timer(after, lambda: server.change("jobs", name, status=status))
    timer.daemon = True
    timer.start()


@pytest.mark.parametrize("breaks", [[], ["close"], ["half", "close"], ["gone", "half"]])
def test_the_end_of_a_job_is_seen_through_watches_that_break(
    server: ApiServer, cluster: Cluster, breaks: list[str]
) -> None:
    server.put("cronjobs", cronjob("clean", "clean"))
    name = jobs.trigger(cluster, "clean").name
    server.watch_breaks = list(breaks)
    _ends(server, name, {"active": 1}, 0.2)
    _ends(server, name, COMPLETE, 0.5)
    assert jobs.wait_for(cluster, name, 30) == "succeeded"
    # Each watch that broke begins again at what the Job is then, and not from the beginning.
    assert sum("watch=true" in path for _, path in server.seen) >= len(breaks)


def test_a_failed_a_deleted_and_an_endless_job(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("clean", "clean", concurrencyPolicy="Allow"))
    failed, deleted, endless = (jobs.trigger(cluster, "clean").name for _ in range(3))
    _ends(server, failed, FAILED)
    assert jobs.wait_for(cluster, failed, 30) == "failed"
    job = server.objects[("jobs", "yuqing", deleted)]
    timer = threading.Timer(0.3, lambda: server.put("jobs", job, event="DELETED"))
    timer.daemon = True
    timer.start()
    with pytest.raises(NotFound, match="was deleted"):
        jobs.wait_for(cluster, deleted, 30)
    assert jobs.wait_for(cluster, endless, 1) == "running"


def test_a_server_that_is_away_for_a_while_is_waited_for(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("clean", "clean"))
    name = jobs.trigger(cluster, "clean").name
    path = f"/apis/batch/v1/namespaces/yuqing/jobs/{name}"
    server.answers[path] = [(503, {"message": "etcdserver: leader changed"})] * 6
    _ends(server, name, COMPLETE)
    assert jobs.wait_for(cluster, name, 30) == "succeeded"
    server.answers[path] = [(503, {"message": "etcdserver: leader changed"})] * 1000
    with pytest.raises(ClusterAway, match="leader changed"):
        jobs.wait_for(cluster, name, 1)


def test_a_job_is_posted_once_even_when_the_server_fails(server: ApiServer, cluster: Cluster) -> None:
    server.put("cronjobs", cronjob("clean", "clean", concurrencyPolicy="Allow"))
    path = "/apis/batch/v1/namespaces/yuqing/jobs"
    server.answers[path] = [(500, {"message": "internal error"})]
    with pytest.raises(ClusterAway, match="internal error"):
        jobs.trigger(cluster, "clean")
    assert [seen for seen in server.seen if seen[0] == "POST"] == [("POST", path)]
