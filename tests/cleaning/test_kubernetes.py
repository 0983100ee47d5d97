"""The cleaning as its CronJob runs it: the driver asks an API server for executors, which run through the image's entry point."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml
from sqlalchemy import Engine

from cleaning.java import java_home, java_program
from cleaning.job import clean_pending
from tests.cleaning.api_server import Cluster, bare_environment, serve
from tests.cleaning.conftest import WriteBatch
from tests.cleaning.test_faults import forget, snapshot, write_batches
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

ROOT = Path(__file__).parents[2]
CLEAN = ROOT / "deploy" / "k8s" / "base" / "clean"
NAMESPACE = "yuqing"


def manifest_environment() -> dict[str, str]:
    """The driver's own variables of the CronJob, with the values that a pod would have."""
    driver = yaml.safe_load((CLEAN / "driver.yaml").read_text())
    container = driver["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["clean", "--json"]
    fields = {"metadata.name": "clean-1", "metadata.namespace": NAMESPACE, "status.podIP": "127.0.0.1"}
    found: dict[str, str] = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        value = fields[source] if source else variable["value"]
        found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], value)
    return found


def allowed() -> set[tuple[str, str]]:
    """(verb, resource) of the driver's Role."""
    role, _ = yaml.safe_load_all((CLEAN / "rights.yaml").read_text())
    return {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.slow
@pytest.mark.service
def test_the_driver_makes_executors_and_asks_for_nothing_that_it_may_not(
    settings: Settings,
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    tmp_path: Path,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 4)
    clean_pending(settings)
    undisturbed = snapshot(database, store)
    forget(database, store)
    image = {
        **bare_environment(),
        "JAVA_HOME": str(java_home(java_program(), settings.cache)),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "PYSPARK_PYTHON": sys.executable,
    }
    entry = ["bash", str(ROOT / "deploy" / "images" / "spark-entrypoint.sh")]
    cluster = Cluster(NAMESPACE, tmp_path, entry, image)
    cluster.pods["clean-1"] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "clean-1", "namespace": NAMESPACE, "uid": "1", "resourceVersion": "1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    given = manifest_environment()
    options: dict[str, Any] = json.loads(given["YUQING_CLEANING__SPARK_OPTIONS"])
    # One executor and little memory, for a machine that is no cluster; the rest is the manifest's.
    options |= {"spark.executor.instances": "1", "spark.executor.memory": "512m"}
    options["spark.kubernetes.executor.podTemplateFile"] = str(CLEAN / "executor-pod.yaml")
    options["spark.kubernetes.executor.apiPollingInterval"] = "2s"
    with serve(cluster) as url, (tmp_path / "out").open("wb") as out, (tmp_path / "errors").open("wb") as errors:
        process = subprocess.run(
            [sys.executable, "-m", "yuqing", "clean", "--json"],
            env={
                **os.environ,
                **environment,
                **given,
                "YUQING_CLEANING__MASTER": f"k8s://{url}",
                "YUQING_CLEANING__EXECUTOR_PYTHON": sys.executable,
                "YUQING_CLEANING__SPARK_OPTIONS": json.dumps(options),
                "YUQING_CLEANING__SPARK_FROM_BYTES": "0",
            },
            stdout=out,
            stderr=errors,
            timeout=540,
            check=False,
        )
    told = (tmp_path / "errors").read_text()[-4000:]
    told += "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert process.returncode == 0, told
    assert json.loads((tmp_path / "out").read_text())["batches"] == 4
    assert snapshot(database, store) == undisturbed
    assert cluster.made, "the driver cleaned everything itself"
    assert cluster.asked <= allowed(), sorted(cluster.asked - allowed())
    for pod in cluster.made:
        check_executor(pod)


def check_executor(pod: dict[str, Any]) -> None:
    """What Spark made of the template is still what the namespace admits."""
    template = yaml.safe_load((CLEAN / "executor-pod.yaml").read_text())
    assert pod["metadata"]["labels"].items() >= template["metadata"]["labels"].items()
    assert pod["metadata"]["ownerReferences"][0]["name"] == "clean-1", "executors would outlive a driver that is killed"
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["serviceAccountName"] == "clean-executor" and spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"].items() >= template["spec"]["securityContext"].items()
    assert container["securityContext"] == template["spec"]["containers"][0]["securityContext"]
    assert container["image"] == "yuqing/spark" and container["args"] == ["executor"]
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert all("emptyDir" in volume for volume in spec["volumes"]), spec["volumes"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/tmp", "/var/lib/yuqing"} <= mounts and container["workingDir"] == "/var/lib/yuqing"
