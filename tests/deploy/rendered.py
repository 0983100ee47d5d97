"""What kubectl makes of the overlays, and its parts that checks look at."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
# What the production overlay may have in place of what it shows: the name, and what stands there instead of the line of KEDA's.
VARIANTS = {"production with queue-hpa": "  - ../../components/queue-hpa\n", "production without keda": ""}
OVERLAYS = [*sorted(path.name for path in (K8S / "overlays").iterdir()), *VARIANTS]
Object = dict[str, Any]


@cache
def kubectl() -> str:
    """The program; the test that asks for it fails where it is missing or older than 1.27."""
    program = shutil.which("kubectl")
    assert program, "kubectl is not installed: the manifests cannot be checked (CONTRIBUTING.md says how to get it)"
    answer = subprocess.run([program, "version", "--client", "--output=json"], capture_output=True, check=True).stdout
    version = json.loads(answer)["clientVersion"]
    minor = int(re.sub(r"\D", "", version["minor"]))
    assert minor >= 27, f"kubectl {version['gitVersion']} is too old: 1.27 or newer is needed (CONTRIBUTING.md)"
    return program


@cache
def overlay(name: str) -> tuple[Object, ...]:
    """The objects that `kubectl apply -k deploy/k8s/overlays/NAME` sends, in its order; or a variant's."""
    return in_place_of_keda(VARIANTS[name]) if name in VARIANTS else build(K8S / "overlays" / name)


def in_place_of_keda(lines: str) -> tuple[Object, ...]:
    """The production overlay's objects with these lines of its components where it names KEDA's."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(K8S, copy, dirs_exist_ok=True)
        file = Path(copy) / "overlays/production/kustomization.yaml"
        text, count = re.subn(r"^ *- ../../components/keda\b.*\n", lines, file.read_text(), flags=re.MULTILINE)
        assert count == 1
        file.write_text(text)
        return build(file.parent)


def build(folder: Path) -> tuple[Object, ...]:
    """The objects of a kustomization."""
    answer = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr, f"kubectl warns: {answer.stderr}"
    return tuple(found for found in yaml.safe_load_all(answer.stdout) if found)


@dataclass(frozen=True)
class Pod:
    """A pod that an object makes: the object's kind and name, the pod's labels and its spec."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def pods(name: str) -> Iterator[Pod]:
    """Every pod of an overlay, those that Spark's driver makes from its template among them."""
    for found in overlay(name):
        template = template_of(found)
        if template:
            yield Pod(found["kind"], found["metadata"]["name"], template["metadata"]["labels"], template["spec"])
        elif found["kind"] == "ConfigMap" and "executor-pod.yaml" in found.get("data", {}):
            yield executor(name, yaml.safe_load(found["data"]["executor-pod.yaml"]))


def template_of(found: Object) -> Object | None:
    """The pod template of a workload."""
    spec = found.get("spec", {})
    if found["kind"] == "CronJob":
        return spec["jobTemplate"]["spec"]["template"]
    return spec["template"] if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job") else None


def executor(name: str, template: Object) -> Pod:
    """Spark's executor as its driver completes the template: image, memory and cores come from the driver's options."""
    driver = next(
        found for found in overlay(name) if found["kind"] == "CronJob" and found["metadata"]["name"] == "clean"
    )
    container = driver["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    values = {item["name"]: item.get("value", "") for item in container["env"]}
    options = json.loads(values["YUQING_CLEANING__SPARK_OPTIONS"])
    image = options["spark.kubernetes.container.image"].replace("$(EXECUTOR_IMAGE)", values["EXECUTOR_IMAGE"])
    memory = sum(int(options[f"spark.executor.{part}"].removesuffix("g")) for part in ("memory", "memoryOverhead"))
    amount = {"memory": f"{memory}Gi", "cpu": options["spark.kubernetes.executor.request.cores"]}
    template = json.loads(json.dumps(template))
    template["spec"]["restartPolicy"] = "Never"
    template["spec"]["containers"][0] |= {
        "image": image,
        "args": ["executor"],
        "resources": {"requests": amount, "limits": {"memory": amount["memory"]}},
    }
    return Pod("Pod", "executor", template["metadata"]["labels"], template["spec"])
