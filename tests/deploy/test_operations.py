"""What docs/deploy.md tells an operator to type: the commands exist, and take and leave what the page says."""

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.deploy.rendered import K8S, ROOT, Object, in_place_of_keda, kubectl, overlay
from tests.deploy.test_contracts import parse, root

PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
PAGES = ("deploy", "backup", "scaling", "baichuan", "crawler")


def typed(text: str) -> Iterator[str]:
    """Commands of `yuqing` in a page: inline and in blocks, without what comes after them in the shell."""
    blocks = re.sub(r"\\\n\s*", "", "\n".join(re.findall(r"^ {4,}(\S.*(?:\\\n.*)*)$", text, re.MULTILINE)))
    for line in (*blocks.splitlines(), *re.findall(r"`([^`\n]+)`", text)):
        for command in re.split(r"&&|\||\s{2,}|\s#\s|\s&$", line):
            if found := re.search(r"(?:^|(?<!-n)\s)yuqing ([a-z].*)", command):
                yield found[1].strip()


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_exists(name: str) -> None:
    commands = list(typed((ROOT / f"docs/{name}.md").read_text(encoding="utf-8")))
    assert commands
    for command in commands:
        arguments = shlex.split(re.sub(r"[<\[].*$", "", command))
        numbers = {"--sites": "1", "--wait": "1", "--delay": "1"}
        arguments = [
            numbers.get(before, word) if word.isupper() else word
            for before, word in zip(["", *arguments], arguments, strict=False)
        ]
        problem = ""
        try:
            parse(arguments)
        except pytest.fail.Exception as error:
            problem = str(error)
        # One that is spoken of, not typed, stands without its arguments.
        assert not problem or "Missing" in problem, problem


@contextmanager
def api_server(objects: tuple[Object, ...], held: dict[str, Object] | None = None) -> Iterator[str]:
    """The address of an API server that knows the kinds of these objects and holds what is in `held`, by its path."""
    groups: dict[str, list[Object]] = {}
    for item in objects:
        kind = item["kind"]
        name = re.sub(r"(?<=[^aeiou])y$", "ie", kind.lower()) + ("es" if kind.endswith("s") else "s")
        cluster_wide = kind in ("Namespace", "ClusterRole", "PriorityClass")
        known = {
            "name": name,
            "kind": kind,
            "namespaced": not cluster_wide,
            "verbs": ["get", "list", "create", "patch"],
        }
        groups.setdefault(item["apiVersion"], [])
        groups[item["apiVersion"]] += [known] if known not in groups[item["apiVersion"]] else []
    answers: dict[str, Object] = dict(held or {}) | {"/api": {"kind": "APIVersions", "versions": ["v1"]}}
    found = []
    for version, resources in groups.items():
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        answers[path] = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
        if "/" in version:
            name, _, number = version.partition("/")
            versions = [{"groupVersion": version, "version": number}]
            found.append({"name": name, "versions": versions, "preferredVersion": versions[0]})
    answers["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
    missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(answers.get(path, missing)).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def apply(folder: Path, options: list[str], held: dict[str, Object] | None = None) -> str:
    """What `kubectl apply -k` of the production overlay says that it would send."""
    with api_server(overlay("production"), held) as url:
        command = [
            kubectl(),
            f"--server={url}",
            f"--cache-dir={folder}",
            "apply",
            "-k",
            str(K8S / "overlays/production"),
        ]
        command += ["--dry-run=client", "--validate=false", "--output=name", *options]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_restore_applies_what_it_needs_and_starts_nothing(tmp_path: Path) -> None:
    (selector,) = re.findall(r"kubectl apply -k deploy/k8s/overlays/production -l '([^']+)'", PAGE)
    applied = set(apply(tmp_path, ["--selector", selector]).split())
    assert not [name for name in applied if name.startswith(("deployment", "job.batch", "horizontalpodautoscaler"))]
    backup = next(
        item for item in overlay("production") if (item["kind"], item["metadata"]["name"]) == ("CronJob", "backup")
    )
    (container,) = backup["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    settings = next(source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source)
    assert {"cronjob.batch/backup", f"configmap/{settings}", "networkpolicy.networking.k8s.io/to-database"} <= applied


def test_what_is_suspended_and_scaled_down_is_brought_back() -> None:
    """`kubectl apply` leaves alone what the manifests do not say: whether a CronJob is suspended, and replicas that scale."""
    for item in overlay("production"):
        assert item["kind"] != "CronJob" or "suspend" not in item["spec"]
    for down, up in (
        ('{"spec":{"suspend":true}}', '{"spec":{"suspend":false}}'),
        ("scale deployment --all --replicas=0", "scale deployment --all --replicas=1"),
        ("paused-replicas=0", "paused-replicas-"),
    ):
        assert 0 < PAGE.index(down) < PAGE.index("trigger backup restore latest") < PAGE.index(up)


def test_the_page_says_how_far_each_deployment_scales() -> None:
    table = PAGE[PAGE.index("## Scaling") : PAGE.index("## Adding a GPU node")]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    for line in lines:
        name, *cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        before = ""
        overlays = ("production without keda", "production", "production with queue-hpa")  # in the columns' order
        for column, cell in zip(overlays, cells, strict=True):
            before = before if cell == "the same" else cell
            told = re.match(r"(\d) to (\d)", before)
            assert scales(column).get(name) == (told and (int(told[1]), int(told[2]))), (name, column)
    assert len(lines) == 4


def scales(name: str) -> dict[str, tuple[int, int]]:
    """The least and the most pods of each Deployment that an overlay's autoscalers scale."""
    found = {}
    for item in overlay(name):
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            spec = item["spec"]
            least, most = (spec.get(f"{end}Replicas", spec.get(f"{end}ReplicaCount")) for end in ("min", "max"))
            found[spec["scaleTargetRef"]["name"]] = (least, most)
    return found


def test_keda_takes_the_place_of_another_autoscaler() -> None:
    both = ["  - ../../components/queue-hpa\n", "  - ../../components/keda\n"]
    targets = [
        (item["kind"], item["spec"]["scaleTargetRef"]["name"])
        for item in in_place_of_keda("".join(both))
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    ]
    keda = [("ScaledObject", name) for name in ("analyze", "asr", "llm")]
    assert sorted(targets) == [("HorizontalPodAutoscaler", "gateway"), *keda]
    with pytest.raises(AssertionError, match="no matches for Id HorizontalPodAutoscaler"):
        in_place_of_keda("".join(reversed(both)))


def test_a_rotated_key_reaches_everything_that_stays() -> None:
    """A Secret's variables are read when a container starts: the page restarts each Deployment that has them."""
    rows = {
        "yuqing-s3": "S3",
        "yuqing-database": "database",
        "yuqing-llm": "`YUQING_LLM__API_KEY`",
        "yuqing-gateway": "session secret",
    }
    for secret, title in rows.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {title} |") and "restart" in line]
        readers = {
            item["metadata"]["name"]
            for item in overlay("production")
            if item["kind"] == "Deployment" and f"'{secret}'" in str(item["spec"]["template"]["spec"]["containers"])
        }
        assert readers and readers == set(re.findall(r"deploy/(\w+)", row)), secret


def test_pruning_takes_a_group_that_is_no_more_and_nothing_else(tmp_path: Path) -> None:
    (options,) = re.findall(r"-k deploy/k8s/overlays/production (-l .* --prune .*)$", PAGE, re.MULTILINE)
    held = [copy.deepcopy(item) for item in overlay("production") if item["kind"] == "CronJob"]
    gone = copy.deepcopy(held[-1])
    gone["metadata"]["name"] = "crawl-5m"
    by_hand = copy.deepcopy(held[-1])
    by_hand["metadata"]["name"] = "by-hand"
    for item in (*held, gone):
        item["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    for number, item in enumerate((*held, gone, by_hand)):
        item["metadata"]["uid"] = str(number)
    listed = {"kind": "CronJobList", "apiVersion": "batch/v1", "metadata": {}, "items": [*held, gone, by_hand]}
    cronjobs = "/apis/batch/v1/namespaces/yuqing/cronjobs"
    answers = {cronjobs: listed} | {f"{cronjobs}/{item['metadata']['name']}": item for item in held}
    said = apply(tmp_path, shlex.split(options), answers).split()
    assert said.count("cronjob.batch/backup") == 1
    assert said[-1] == "cronjob.batch/crawl-5m" and "cronjob.batch/by-hand" not in said


def test_the_groups_that_are_spoken_of_are_there() -> None:
    assert {"k8s", "llm", "models", "gateway", "sites", "clean"} <= set(root().list_commands(None))
