"""What the manifests say of the program is true: commands, settings, ports and paths, times to stop, secrets' keys."""

import functools
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import typer.exceptions

from tests.deploy.rendered import OVERLAYS, ROOT, Object, Pod, overlay, pods
from yuqing.settings import Settings, check_environment, load_settings

pytestmark = pytest.mark.parametrize("name", OVERLAYS)
IMAGES = ROOT / "deploy" / "images"


def own(pod: Pod) -> Iterator[Object]:
    """The containers that run an image of ours."""
    return (container for container in pod.containers if "yuqing/" in container["image"])


def dockerfile(image: str) -> str:
    """The Dockerfile's text of an image's name, with or without registry, tag and -cpu."""
    name = re.sub(r"[:@].*", "", image.rpartition("/")[2]).removesuffix("-cpu")
    return (IMAGES / f"{name}.Dockerfile").read_text()


def instruction(image: str, keyword: str) -> list[str]:
    """The last ENTRYPOINT or CMD."""
    found = re.findall(rf"^{keyword} (\[.*\])$", dockerfile(image), re.MULTILINE)
    return list(json.loads(found[-1]))


@functools.cache
def root() -> Any:
    from yuqing.cli import app

    return typer.main.get_command(app)


def parse(arguments: list[str]) -> None:
    """Parse a command line with the program's own parser, without running it. Fails with the parser's own words."""
    command, context, rest = root(), None, list(arguments)
    while True:
        context = command.context_class(command, info_name=rest[0] if rest else "", parent=context)
        if not hasattr(command, "get_command"):
            break
        found = command.get_command(context, rest[0])
        assert found is not None, f"there is no command {rest[0]}"
        command, rest = found, rest[1:]
    try:
        command.parse_args(context, rest)
    except typer.exceptions.TyperException as error:
        pytest.fail(f"yuqing {shlex.join(arguments)}: {error}")


def test_every_container_runs_a_command_that_exists(name: str) -> None:
    seen = 0
    for pod in pods(name):
        for container in own(pod):
            assert "command" not in container, "the image's ENTRYPOINT (tini, yuqing) would be lost"
            entry = instruction(container["image"], "ENTRYPOINT")
            assert entry[0] == "tini", (
                "the first process of a container ignores SIGTERM, and nobody reaps what it leaves"
            )
            assert entry[-1] in ("yuqing", "spark-entrypoint")
            if container["args"] == ["executor"]:
                assert entry[-1] == "spark-entrypoint"
                continue
            parse(container["args"])
            seen += 1
    assert seen >= 12
    with pytest.raises(pytest.fail.Exception, match="--al"):
        parse(["seen", "compact", "--al"])


def test_images_run_by_default_what_exists(name: str) -> None:
    for container in (container for pod in pods(name) for container in own(pod)):
        parse(instruction(container["image"], "CMD"))


def environment(name: str, container: Object) -> dict[str, str]:
    """The container's variables; a secret's value is made up."""
    maps = {item["metadata"]["name"]: item["data"] for item in overlay(name) if item["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        found[variable["name"]] = variable.get("value", "10.0.0.7")
    for key, value in found.items():
        found[key] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], value)
    return found


def test_every_variable_is_a_setting_and_its_value_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for pod in pods(name):
        for container in own(pod):
            found = environment(name, container)
            check_environment(found)
            with monkeypatch.context() as patch:
                for key, value in found.items():
                    patch.setenv(key, value)
                load_settings()
    for line in re.findall(r"\b(YUQING_\w+)=", "".join(path.read_text() for path in IMAGES.glob("*.Dockerfile"))):
        check_environment({line: ""})


def secrets(name: str) -> Iterator[tuple[str, str]]:
    """(Secret, key) of all that pods of ours read."""
    for item in overlay(name):
        if item["kind"] == "Secret":
            yield from ((item["metadata"]["name"], key) for key in item["data"])
        if item["kind"] == "ExternalSecret":
            yield from ((item["spec"]["target"]["name"], entry["secretKey"]) for entry in item["spec"]["data"])


def test_every_secret_key_is_a_setting_and_documented(name: str) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for secret, key in secrets(name):
        if secret.startswith("yuqing-"):
            check_environment({key: ""})
            assert f"`{secret}`" in page, secret
            assert f"`{key}`" in page, key


def settings_of(name: str, container: Object, monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as patch:
        for key, value in environment(name, container).items():
            patch.setenv(key, value)
        return load_settings()


def probes(container: Object) -> Iterator[tuple[str, Any]]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if kind in container:
            yield kind, container[kind]


def test_probes_ask_paths_and_ports_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.api.health import router

    # vLLM's own: https://docs.vllm.ai, "OpenAI-compatible server"; prometheus_client answers /metrics and everything else.
    paths = {"gateway": {route.path for route in router.routes}, "llm": {"/health", "/metrics"}}  # type: ignore[attr-defined]
    for pod in pods(name):
        for container in own(pod):
            declared = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
            component = pod.labels["app.kubernetes.io/component"]
            for kind, probe in probes(container):
                if "exec" in probe:
                    assert probe["exec"]["command"][0] == "yuqing"
                    parse(probe["exec"]["command"][1:])
                    continue
                asked = probe["httpGet"]
                assert asked["port"] in declared, f"{pod} {kind}"
                assert asked["path"] in paths.get(component, {"/metrics"}), f"{pod} {kind}"
            settings = settings_of(name, container, monkeypatch)
            if "metrics" in declared:
                assert declared["metrics"] == settings.telemetry.metrics_port
                assert "--follow" in container["args"], "only a process that stays serves metrics"
            if "--port" in container["args"]:
                assert declared["http"] == int(container["args"][container["args"].index("--port") + 1])


def test_a_server_that_loads_a_model_gets_the_time(name: str) -> None:
    for pod in pods(name):
        for container in own(pod):
            if "startupProbe" in container and "serve" in container["args"] and "llm" in container["args"]:
                probe = container["startupProbe"]
                assert probe["periodSeconds"] * probe["failureThreshold"] >= 600  # embedded.llm_start_timeout_s


def test_pods_get_the_time_that_they_take_to_stop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for pod in pods(name):
        grace = pod.spec["terminationGracePeriodSeconds"]
        for container in own(pod):
            pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            settings = settings_of(name, container, monkeypatch)
            needed = {
                "crawl": settings.crawler.stop_timeout_s + 30,
                "serve": settings.gateway.shutdown_s,
                "llm serve": settings.llm.drain_s + settings.llm.stop_s + 5,
            }
            words = [" ".join(container["args"][:length]) for length in (1, 2)]
            most = max(needed.get(word, 0) for word in words)
            assert grace > pause + most, f"{pod}: {grace} s"


def test_a_job_ends_and_leaves_nothing(name: str) -> None:
    for item in overlay(name):
        if item["kind"] in ("CronJob", "Job"):
            spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
            assert spec["activeDeadlineSeconds"] <= 2 * 86400  # cleaning/crawl_runs.py: no run takes two days
            assert spec["ttlSecondsAfterFinished"] > 0 and spec["backoffLimit"] <= 6
        if item["kind"] == "CronJob":
            assert item["spec"]["concurrencyPolicy"] == "Forbid" and item["spec"]["timeZone"] == "Asia/Shanghai"
            assert item["spec"]["startingDeadlineSeconds"] >= 60


def test_rolling_updates_keep_capacity_where_there_is_room_for_it(name: str) -> None:
    for item in overlay(name):
        if item["kind"] == "Deployment" and name != "laptop":
            assert item["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_executors_run_the_drivers_image(name: str) -> None:
    images = {
        c["image"]
        for pod in pods(name)
        if pod.labels["app.kubernetes.io/component"].startswith("clean")
        for c in own(pod)
    }
    assert len(images) == 1


def test_the_kubelet_takes_images_that_a_node_holds(name: str) -> None:
    """Of a tag `latest` it always asks the registry, which nobody has filled for a laptop."""
    for pod in pods(name):
        for container in pod.containers:
            assert re.search(r":(?!latest$)[\w.-]+$", container["image"]), f"{pod}: {container['image']}"
            assert container.get("imagePullPolicy") != "Always"


def test_gpu_pods_find_gpu_nodes(name: str) -> None:
    asking = {}
    for pod in pods(name):
        for container in pod.containers:
            if amount := container["resources"]["limits"].get("nvidia.com/gpu"):
                asking[pod.labels["app.kubernetes.io/component"]] = amount
                terms = pod.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
                assert "nvidia.com/gpu.present" in json.dumps(terms)
                assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod.spec[
                    "tolerations"
                ]
    assert asking == ({"asr": 1, "llm": 1} if name != "laptop" else {})


def test_vllm_has_shared_memory_and_the_model_is_fetched_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = next(pod for pod in pods(name) if pod.labels["app.kubernetes.io/component"] == "llm")
    mounts = {mount["mountPath"]: mount["name"] for mount in pod.spec["containers"][0]["volumeMounts"]}
    volume = next(volume for volume in pod.spec["volumes"] if volume["name"] == mounts["/dev/shm"])
    assert volume["emptyDir"]["medium"] == "Memory"
    for component in ("llm", "asr"):
        pod = next(pod for pod in pods(name) if pod.labels["app.kubernetes.io/component"] == component)
        fetch = next(
            container for container in pod.spec["initContainers"] if container["args"][:2] == ["models", "fetch"]
        )
        (wanted,) = fetch["args"][2:]
        settings = settings_of(name, pod.spec["containers"][0], monkeypatch)
        used = settings.asr.model if component == "asr" else settings.llm.base
        assert used in (wanted, f"/var/cache/yuqing/models/{wanted}")


def test_an_adapter_that_becomes_active_reaches_the_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = next(pod for pod in pods(name) if pod.labels["app.kubernetes.io/component"] == "llm")
    server, sync = pod.spec["containers"]
    assert sync["args"] == ["llm", "sync", "--follow"]
    served, applied = (settings_of(name, container, monkeypatch) for container in (server, sync))
    assert served.llm == applied.llm
    assert "adapter" not in served.llm.model_fields_set, "it would come before the active one"
    assert served.llm.url == f"http://127.0.0.1:{server['ports'][0]['containerPort']}/v1"
    assert served.llm.adapter_mode == ("runtime" if name != "laptop" else "merged")
    assert pod.spec["shareProcessNamespace"], "merged weights are taken by a restart"
    shared = {"/var/lib/yuqing", "/var/cache/yuqing"}
    mounts = [{mount["mountPath"]: mount for mount in container["volumeMounts"]} for container in (server, sync)]
    assert all(path in mount and not mount[path].get("readOnly") for mount in mounts for path in shared)
