"""Alerts and dashboard: they fire when they should, and ask for figures that somebody tells."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine

from tests.deploy.rendered import K8S, ROOT, overlay
from yuqing.jobs import ANALYZE, TRANSCRIBE

MONITORING = K8S / "components" / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"]
ALERTS = [rule for group in RULES for rule in group["rules"]]
DASHBOARD = json.loads((MONITORING / "yuqing.json").read_text())
# What others tell: NVIDIA's dcgm-exporter, cert-manager, the kubelet, kube-state-metrics, Prometheus itself.
OTHERS = {
    "DCGM_FI_DEV_GPU_UTIL",
    "certmanager_certificate_expiration_timestamp_seconds",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_cronjob_status_last_successful_time",
    "up",
}
# vLLM's, of vllm/v1/metrics/loggers.py; counters get _total.
VLLM = {
    "vllm:generation_tokens_total",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prompt_tokens_total",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    beside = Path(sys.executable).with_name("promtool")
    program = str(beside) if beside.exists() else shutil.which("promtool")
    assert program, "promtool is not installed: the alerts cannot be checked (CONTRIBUTING.md says how to get it)"
    return program


def test_alerts_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": RULES}))
    shutil.copy(Path(__file__).with_name("alerts.yaml"), tmp_path)
    for command in ["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"], ["test", "rules", "alerts.yaml"]:
        answer = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())["tests"]
    fired, silent = set(), set()
    for case in (case for test in tests for case in test["alert_rule_test"]):
        (fired if case.get("exp_alerts") else silent).add(case["alertname"])
    assert fired == silent == {alert["alert"] for alert in ALERTS}


def test_every_alert_says_what_to_look_at() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert alert["annotations"]["runbook"] == f"docs/deploy.md#{alert['alert'].lower()}"
        assert re.search(rf"^### {alert['alert']}$", page, re.MULTILINE), alert["alert"]


def names(expression: str) -> Iterator[str]:
    """The metrics of a PromQL expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", re.sub(r"\b(by|on|without) ?\([^)]*\)", "", expression))
    functions = {"max", "min", "sum", "avg", "rate", "increase", "time", "topk", "and", "on", "absent", "offset"}
    functions |= {"histogram_quantile", "avg_over_time"}
    for word in re.findall(r"[a-zA-Z_:][\w:]*", bare):
        if word not in functions and not re.fullmatch(r"\d*[smhd]|h|m", word):
            yield word


def told_by_us() -> set[str]:
    """The names under which the gateway, the workers and vLLM expose figures."""
    from prometheus_client import REGISTRY

    import asr.worker
    import gateway.middleware
    import llm.worker

    assert asr.worker and gateway.middleware and llm.worker
    found: set[str] = set()
    for metric in REGISTRY.collect():
        if metric.name.startswith("yuqing_"):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
            found |= {metric.name + suffix for suffix in suffixes}
    pipeline = (ROOT / "gateway" / "queries" / "pipeline.py").read_text()
    return found | set(re.findall(r'_gauge\(\s*"(\w+)"', pipeline))


def test_figures_that_are_asked_for_are_told() -> None:
    told = told_by_us() | OTHERS | VLLM
    expressions = [alert["expr"] for alert in ALERTS]
    expressions += [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    asked = {name for expression in expressions for name in names(expression)}
    assert asked <= told, sorted(asked - told)
    assert {"yuqing_crawl_flags", "yuqing_analysis_seconds_bucket", "vllm:num_requests_waiting"} <= asked


def test_labels_that_are_asked_for_exist() -> None:
    pipeline = (ROOT / "gateway" / "queries" / "pipeline.py").read_text()
    for alert in ALERTS:
        for metric, selector in re.findall(r"(yuqing_\w+)\{([^}]*)\}", alert["expr"]):
            labels = set(re.findall(r"(\w+)[=!]~?", selector.replace("=~", "=")))
            told = re.search(rf'"{metric}",\s*"[^"]*",\s*\(([^)]*)\)', pipeline)
            if told:
                assert labels <= set(re.findall(r"\w+", told[1])), metric


def test_the_queues_depth_that_autoscalers_ask_for_is_told(promtool: str, tmp_path: Path) -> None:
    """The adapter's rule as it fills it in: https://github.com/kubernetes-sigs/prometheus-adapter, docs/externalmetrics.md."""
    values = yaml.safe_load((K8S / "components/queue-hpa/prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["external"]
    series = re.findall(r'__name__="(\w+)"', rule["seriesQuery"])[0]
    assert series in told_by_us() and rule["resources"] == {"overrides": {"namespace": {"resource": "namespace"}}}
    queues = {}
    for item in overlay("production with queue-hpa"):
        for metric in item["spec"]["metrics"] if item["kind"] == "HorizontalPodAutoscaler" else ():
            if metric["type"] == "External":
                assert metric["external"]["metric"]["name"] == rule["name"]["as"]
                queues[item["metadata"]["name"]] = metric["external"]["metric"]["selector"]["matchLabels"]["queue"]
    assert queues == {"asr": TRANSCRIBE, "analyze": ANALYZE, "llm": ANALYZE}
    records = [
        {
            "record": f"{queue}:depth",
            "expr": rule["metricsQuery"]
            .replace("<<.Series>>", series)
            .replace("<<.LabelMatchers>>", f'namespace="yuqing",queue="{queue}"'),
        }
        for queue in (TRANSCRIBE, ANALYZE)
    ]
    told = [
        {"series": f'yuqing_jobs{{namespace="yuqing",pod="{pod}",queue="{queue}",status="{status}"}}', "values": number}
        for pod in ("gateway-1", "gateway-2")
        for queue, status, number in (
            (ANALYZE, "todo", 700),
            (ANALYZE, "doing", 32),
            (ANALYZE, "failed", 9),
            (TRANSCRIBE, "todo", 0),
        )
    ]
    depths = {f"{ANALYZE}:depth": (ANALYZE, 732), f"{TRANSCRIBE}:depth": (TRANSCRIBE, 0)}
    expected = [
        {"expr": name, "eval_time": "1m", "exp_samples": [{"labels": f'{name}{{queue="{queue}"}}', "value": depth}]}
        for name, (queue, depth) in depths.items()
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "depth", "rules": records}]}))
    test = {"interval": "1m", "input_series": [{**one, "values": f"{one['values']}x5"} for one in told]}
    test["promql_expr_test"] = expected
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    answer = subprocess.run([promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.service
def test_keda_counts_what_waits_and_runs_but_not_what_waits_for_the_next_day(database: Engine) -> None:
    put = (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, scheduled_at) SELECT queue, queue, status, at "
        "FROM unnest(ARRAY['transcribe', 'analyze']) AS queue, LATERAL (VALUES "
        "('todo'::procrastinate_job_status, NULL::timestamptz), ('todo', now() + interval '8 seconds'), ('doing', NULL), "
        "('failed', NULL), ('todo', CASE queue WHEN 'analyze' THEN now() + interval '9 hours' END)) AS job (status, at)"
    )
    with database.begin() as connection:
        connection.exec_driver_sql(put)
    found = {}
    for item in overlay("production"):
        if item["kind"] == "ScaledObject":
            (trigger,) = item["spec"]["triggers"]
            with database.connect() as connection:
                count = connection.exec_driver_sql(trigger["metadata"]["query"]).scalar_one()
            found[item["metadata"]["name"]] = count
    assert found == {"asr": 4, "analyze": 3, "llm": 3}


def test_the_dashboards_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${source}"
