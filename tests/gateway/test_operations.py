"""What operators see and do: sites, crawls, queues, quarantine, usage, and commands that they start."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import Engine, text

from tests.gateway import operations, rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer, is_problem
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service


@pytest.fixture
def operator(address: str, database: Engine, key: str, store: ObjectStore) -> Iterator[httpx.Client]:
    """A client with an operator's key."""
    with database.begin() as connection:
        made = rows.add_key(connection, "公关部", "operator")
    with httpx.Client(base_url=address, headers=bearer(made), trust_env=False, timeout=120) as client:
        yield client


def test_sites_the_worst_first_and_their_crawls(operator: httpx.Client, database: Engine) -> None:
    with database.begin() as connection:
        last = operations.add_runs(connection)
        operations.add_run(connection, "retired-site", 5000, found="many", flags="odd", by_status=[])
    sites = {site["name"]: site for site in operator.get("/v1/sites").json()}
    assert [sites[name]["state"] for name in ("caixin", "xinhuanet", "people")] == ["failed", "flagged", "ok"]
    order = [site["state"] for site in operator.get("/v1/sites").json()]
    assert order == sorted(order, key=["broken", "failed", "late", "flagged", "never", "ok"].index)
    assert sites["xinhuanet"]["reason"].startswith("9 links")
    assert sites["people"]["day"] == {"runs": 4, "new_articles": 48, "errors": 0, "quarantined": 0}
    assert sites["people"]["last"]["run_id"] == last["people"]
    assert sites["retired-site"]["schedule"] is None
    assert sites["cctv"]["state"] == "never" if "cctv" in sites else "never" in order
    assert operator.get("/v1/sites/people").json() == sites["people"]
    is_problem(operator.get("/v1/sites/nowhere"), 404, "not-found")

    # A site that was last crawled before its last two times is late.
    with database.begin() as connection:
        connection.execute(text("DELETE FROM crawl_runs WHERE site = 'people'"))
        operations.add_run(connection, "people", 400)
    assert operator.get("/v1/sites/people").json()["state"] == "late"

    page = operator.get("/v1/crawl-runs", params={"limit": 2}).json()
    rest = operator.get("/v1/crawl-runs", params={"before": page["next_before"]}).json()
    ids = [run["run_id"] for run in page["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 4 and rest["next_before"] is None
    troubled = operator.get("/v1/crawl-runs", params={"problems": True}).json()["items"]
    assert {run["site"]: run["state"] for run in troubled} == {"caixin": "failed", "xinhuanet": "flagged"}
    of_site = operator.get("/v1/crawl-runs", params={"site": "caixin"}).json()["items"]
    assert [run["run_id"] for run in of_site] == [last["caixin"]]
    detail = operator.get(f"/v1/crawl-runs/{last['caixin']}").json()
    assert (detail["errors"], detail["report"]["errors"][0]["reason"]) == (9, "403")
    is_problem(operator.get("/v1/crawl-runs/01JD4S8V9M3F1Q2R5T6W7X8Y9Z"), 404, "not-found")
    for bad in ("/v1/crawl-runs?before=x", "/v1/crawl-runs?site=../etc", "/v1/crawl-runs/nonsense", "/v1/sites/%00"):
        assert operator.get(bad).status_code == 422


def test_jobs_are_put_back_and_taken_out(operator: httpx.Client, database: Engine) -> None:
    with database.begin() as connection:
        ids = operations.add_jobs(connection)
    queues = {queue["name"]: queue for queue in operator.get("/v1/queues").json()["queues"]}
    assert set(queues) >= {"analyze", "transcribe", "gateway"}
    assert {name: queues["analyze"][name] for name in ("waiting", "running", "failed")} == {
        "waiting": 1,
        "running": 0,
        "failed": 1,
    }
    assert queues["analyze"]["oldest_s"] >= 0 and queues["gateway"]["oldest_s"] is None
    assert operator.get("/v1/queues").json()["workers"] >= 1  # the gateway's own

    found = operator.get("/v1/jobs", params={"queue": "analyze"}).json()["items"]
    assert [job["id"] for job in found] == [ids["failed"], ids["todo"]]
    assert found[0]["arguments"] == {"doc_id": "2" * 32, "content_hash": "3" * 32}
    page = operator.get("/v1/jobs", params={"limit": 1}).json()
    assert operator.get("/v1/jobs", params={"before": page["next_before"], "limit": 1}).json()["items"] == found[:1]

    again = operator.post(f"/v1/jobs/{ids['failed']}/retry")
    assert (again.status_code, again.json()["status"], again.json()["attempts"]) == (200, "todo", 1)
    assert again.json()["events"][0]["kind"] == "deferred"
    is_problem(operator.post(f"/v1/jobs/{ids['failed']}/retry"), 409, "job-state")
    gone = operator.post(f"/v1/jobs/{ids['todo']}/cancellation", headers={"Idempotency-Key": "c"})
    assert gone.json()["status"] == "cancelled"
    repeated = operator.post(f"/v1/jobs/{ids['todo']}/cancellation", headers={"Idempotency-Key": "c"})
    assert repeated.headers["idempotent-replayed"] == "true"
    is_problem(operator.post(f"/v1/jobs/{ids['todo']}/cancellation"), 409, "job-state")
    is_problem(operator.post("/v1/jobs/999999999/retry"), 404, "not-found")
    assert operator.get("/v1/jobs?status=todo").json()["items"][0]["id"] == ids["failed"]
    assert operator.get("/v1/jobs?status=wrong").status_code == 422

    # A failed job whose work waits again already is left alone.
    with database.begin() as connection:
        connection.execute(
            text("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = :job"), {"job": ids["failed"]}
        )
        connection.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock) VALUES ('analyze', 'x', 'analyze:b')"
            )
        )
    is_problem(operator.post(f"/v1/jobs/{ids['failed']}/retry"), 409, "job-state")
    with database.connect() as connection:
        lines = connection.execute(text("SELECT action, subject FROM audit_log WHERE action LIKE 'job.%' ORDER BY id"))
        assert [tuple(line) for line in lines] == [
            ("job.retry", f"job:{ids['failed']}"),
            ("job.cancel", f"job:{ids['todo']}"),
        ]


def test_quarantine_is_listed_and_read_within_bounds(operator: httpx.Client, store: ObjectStore) -> None:
    assert operator.get("/v1/quarantine").json() == {"stages": [], "items": [], "next_before": None}
    keys = operations.add_quarantine(store)
    page = operator.get("/v1/quarantine").json()
    assert page["stages"] == ["asr", "cleaning", "crawl_runs"]
    assert [item["key"] for item in page["items"]] == [keys["cleaning"], keys["asr"], keys["crawl_runs"]]
    first = page["items"][0]
    assert (first["records"], first["is_complete"], first["is_replayable"], first["day"]) == (
        2,
        True,
        True,
        "2026-11-20",
    )
    assert {"reason": "field url: Field required", "records": 1} in first["reasons"]
    assert not page["items"][2]["is_replayable"]
    seen, before = [], None
    while True:
        part = operator.get("/v1/quarantine", params={"limit": 1} | ({"before": before} if before else {})).json()
        seen += [item["key"] for item in part["items"]]
        before = part["next_before"]
        if before is None:
            break
    assert seen == [item["key"] for item in page["items"]]
    assert [item["stage"] for item in operator.get("/v1/quarantine?stage=asr").json()["items"]] == ["asr"]

    path = "/v1/" + keys["cleaning"].replace("/dt=", "/").removesuffix(".jsonl.gz")
    batch = operator.get(path, params={"characters": 100}).json()
    assert [record["place"] for record in batch["items"]] == [0, 1]
    assert batch["items"][0]["cut"] == ["record.body"]
    assert len(batch["items"][0]["kept"]["record"]["body"]) == 100
    assert operator.get(path, params={"offset": 1}).json()["items"][0]["kept"]["record"] == {"title": "没有地址"}
    assert operator.get(path, params={"limit": 1}).json()["next_offset"] == 1
    assert operator.get(path, params={"characters": 10**6}).json()["items"][0]["cut"] == []
    is_problem(operator.get("/v1/quarantine/cleaning/2026-11-20/unknown"), 404, "not-found")
    is_problem(operator.get("/v1/quarantine/cleaning/2026-13-40/unknown"), 404, "not-found")

    # What unpacks to far more than its size is shown as far as that is safe; what is no gzip says so.
    store.put(
        "quarantine/cleaning/dt=2026-11-21/bomb.jsonl.gz", gzip.compress(b'{"reason": "x' + b"x" * 2**26 + b'"}\n')
    )
    store.put("quarantine/cleaning/dt=2026-11-21/noise.jsonl.gz", b"no gzip at all")
    store.put("quarantine/cleaning/dt=2026-11-21/stray.txt", b"not ours")
    found = {item["batch"]: item for item in operator.get("/v1/quarantine?stage=cleaning&limit=2").json()["items"]}
    assert (found["bomb"]["records"], found["bomb"]["is_complete"]) == (0, False)
    assert "cannot be read" in found["noise"]["reasons"][0]["reason"]
    assert "cannot be read" in operator.get("/v1/quarantine/cleaning/2026-11-21/noise").json()["items"][0]["reason"]
    assert operator.get("/v1/quarantine?before=quarantine/../x").status_code == 422


def ended(operator: httpx.Client, started: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while (task := operator.get(f"/v1/tasks/{started['stage']}/{started['name']}").json())["state"] == "running":
        assert time.monotonic() < deadline, task
        time.sleep(0.5)
    return task


def test_a_crawl_a_clean_and_a_replay_are_started_and_followed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The commands themselves, as processes: a site that is away, its report, and a page that can be cleaned."""
    site = {
        "name": "away",
        "title": "无人应答",
        "start_urls": ["http://127.0.0.1:9/"],
        "articles": ["http://127.0.0.1:9/a/"],
        "allow_private_addresses": True,
        "obey_robots": False,
    }
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "away.yaml").write_text(yaml.safe_dump(site, allow_unicode=True))
    monkeypatch.setenv("YUQING_CRAWLER__SITES_FOLDERS", json.dumps([str(tmp_path / "sites")]))
    monkeypatch.setenv("YUQING_CRAWLER__RETRIES", "0")
    database: Engine = request.getfixturevalue("database")
    store: ObjectStore = request.getfixturevalue("store")
    store.ensure_bucket()
    keys = operations.add_quarantine(store)
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部", "operator")
    with (
        running() as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as operator,
    ):
        is_problem(operator.post("/v1/crawls", json={"sites": ["people"]}), 422, "validation")
        crawl = operator.post("/v1/crawls", json={"sites": ["away"]})
        assert crawl.status_code == 202, crawl.text
        assert (crawl.json()[0]["stage"], crawl.json()[0]["state"]) == ("crawl", "running")
        is_problem(operator.post("/v1/crawls", json={}), 409, "runs-already")
        task = ended(operator, crawl.json()[0])
        assert task["state"] == "failed" and "away" in task["log"]  # nothing could be read
        replayed = operator.post("/v1/quarantine/replays", json={"keys": [keys["cleaning"], keys["asr"]]})
        assert replayed.status_code == 202, replayed.text
        assert replayed.json()["recordings"] == 1
        task = ended(operator, replayed.json()["started"][0])
        assert task["state"] == "succeeded", task["log"]
        left = {item["key"]: item for item in operator.get("/v1/quarantine").json()["items"]}
        assert set(left) == {keys["cleaning"], keys["crawl_runs"], keys["asr"]}  # the last until it has a transcript
        assert left[keys["cleaning"]]["records"] == 1  # the one without an address
        with database.connect() as connection:
            assert connection.execute(text("SELECT site FROM documents")).scalars().all() == ["caijing"]
        assert operator.get("/v1/jobs?queue=transcribe").json()["items"][0]["arguments"] == {"media_sha256": "5" * 64}

        clean = operator.post("/v1/cleanings", json={})
        assert ended(operator, clean.json()[0])["state"] == "succeeded"
        assert operator.get("/v1/sites/away").json()["state"] == "failed"
        assert [task["stage"] for task in operator.get("/v1/tasks").json()] == ["clean", "clean", "crawl"]
        is_problem(operator.get("/v1/tasks/crawl/unknown"), 404, "not-found")
        again = operator.post("/v1/quarantine/replays", json={"keys": [keys["asr"]]})
        assert (again.status_code, again.json()["recordings"]) == (202, 0)  # it waits already
        store.put("quarantine/asr/dt=2026-11-21/noise.jsonl.gz", b"no gzip at all")
        damaged = {"keys": ["quarantine/asr/dt=2026-11-21/noise.jsonl.gz"]}
        is_problem(operator.post("/v1/quarantine/replays", json=damaged), 409, "not-replayable")
        is_problem(operator.post("/v1/quarantine/replays", json={"keys": [keys["crawl_runs"]]}), 409, "not-replayable")
        for bad in (
            "raw/x.jsonl.gz",
            "quarantine/cleaning/--help",
            "--help",
            "quarantine/cleaning/dt=2026-11-20/a/../b",
        ):
            is_problem(operator.post("/v1/quarantine/replays", json={"keys": [bad]}), 422, "validation")
    with database.connect() as connection:
        actions = connection.execute(text("SELECT action FROM audit_log WHERE actor LIKE 'key:%' ORDER BY id"))
        replays = ["quarantine.replay"] * 3
        assert actions.scalars().all() == ["crawl.start", *replays[:2], "clean.start", *replays[2:]]


def test_usage_counts_the_teams_own_share(operator: httpx.Client, press: dict[str, str], database: Engine) -> None:
    found = operator.get("/v1/usage").json()
    used = {line["company"]: line for line in found["items"]}
    # A call of 730 tokens for each document that was not taken over from its original, shared by the companies in it.
    call = 612 + 118
    assert (used["星河汽车"]["verdicts"], used["星河汽车"]["inherited"], used["星河汽车"]["tokens"]) == (
        3,
        2,
        call // 2,
    )
    assert (used["澜山银行"]["verdicts"], used["澜山银行"]["tokens"]) == (4, call // 2 + call)
    assert found["tokens"] == sum(line["tokens"] for line in found["items"])
    assert found["today"] > 0 and found["budget"] == 0
    company = used["星河汽车"]["company_id"]
    assert [line["company"] for line in operator.get("/v1/usage", params={"company": company}).json()["items"]] == [
        "星河汽车"
    ]
    with database.begin() as connection:
        stranger = rows.add_key(connection, "竞争对手", "operator")
    theirs = operator.get("/v1/usage", headers=bearer(stranger)).json()
    assert theirs["items"] == [] and theirs["tokens"] == 0
    is_problem(operator.get("/v1/usage", params={"company": company}, headers=bearer(stranger)), 404, "not-found")
    assert operator.get("/v1/usage?days=0").status_code == 422


def test_adapters_are_activated_and_rolled_back(operator: httpx.Client, store: ObjectStore, database: Engine) -> None:
    store.ensure_bucket()
    assert operator.get("/v1/adapters").json() == {"active": None, "adapters": []}
    operations.add_adapters(store)
    listed = operator.get("/v1/adapters")
    adapters = {adapter["name"]: adapter for adapter in listed.json()["adapters"]}
    assert set(adapters) == {"broken", "inews-v1", "inews-v2"}
    assert adapters["inews-v2"]["metrics"]["dev"]["macro_f1"] == 0.741
    assert "cannot be read" in adapters["broken"]["problem"]

    def put(adapter: str | None, tag: str, force: bool = False) -> httpx.Response:
        body = {"adapter": adapter, "reason": "更好", "force": force}
        return operator.put("/v1/adapters/active", json=body, headers={"If-Match": tag} if tag else {})

    is_problem(put("inews-v1", ""), 428, "if-match-missing")
    first = put("inews-v1", listed.headers["etag"])
    assert first.status_code == 200, first.text
    assert first.json()["active"]["adapter"] == "inews-v1" and not first.json()["active"]["can_roll_back"]
    is_problem(put("inews-v2", listed.headers["etag"]), 412, "changed-meanwhile")
    is_problem(put("unknown", "*"), 409, "adapter")
    is_problem(put("broken", "*"), 409, "adapter")
    assert put("../x", "*").status_code == 422
    back = {"json": {"reason": "更差"}, "headers": {"If-Match": first.headers["etag"]}}
    is_problem(operator.post("/v1/adapters/rollback", **back), 409, "adapter")
    uncompared = put("inews-v2", first.headers["etag"])
    is_problem(uncompared, 409, "adapter")
    assert "no comparison with inews-v1" in uncompared.text
    second = put("inews-v2", first.headers["etag"], force=True)
    back["headers"] = {"If-Match": second.headers["etag"]}
    rolled = operator.post("/v1/adapters/rollback", **back).json()
    assert (rolled["active"]["adapter"], rolled["active"]["previous"]) == ("inews-v1", "inews-v2")
    assert [adapter["name"] for adapter in rolled["adapters"] if adapter["is_active"]] == ["inews-v1"]
    assert put(None, "*").json()["active"]["adapter"] is None
    store.put("adapters/active.json", b"{}")
    is_problem(operator.get("/v1/adapters"), 409, "adapter")
    with database.connect() as connection:
        actions = connection.execute(text("SELECT action FROM audit_log WHERE action LIKE 'adapter.%' ORDER BY id"))
        assert actions.scalars().all() == [
            "adapter.activate",
            "adapter.activate",
            "adapter.rollback",
            "adapter.activate",
        ]
