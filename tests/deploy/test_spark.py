"""The driver's arguments of the manifest: Spark knows every option."""

import json
import zipfile
from pathlib import Path
from typing import Any

import yaml

DRIVER = Path(__file__).parents[2] / "deploy/k8s/base/clean/driver.yaml"
# What the kubelet puts into the variables of the pod.
POD = {"POD_NAME": "clean-1", "POD_NAMESPACE": "yuqing", "POD_IP": "127.0.0.1", "EXECUTOR_IMAGE": "yuqing/spark:1"}


def variables() -> dict[str, str]:
    """The container's own variables as the kubelet expands them."""
    (cronjob,) = [item for item in yaml.safe_load_all(DRIVER.read_text()) if item["kind"] == "CronJob"]
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "clean"
    found = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    for name, value in POD.items():
        found = {key: text.replace(f"$({name})", value) for key, text in found.items()}
    return {key: text for key, text in found.items() if key.startswith("YUQING_")}


def options() -> dict[str, Any]:
    """The options that go to Spark."""
    found: dict[str, Any] = json.loads(variables()["YUQING_CLEANING__SPARK_OPTIONS"])
    return found


def test_spark_knows_every_option() -> None:
    """A name with a typing error is none that Spark would complain of."""
    import pyspark

    jars = sorted((Path(pyspark.__file__).parent / "jars").glob("spark-*.jar"))
    wanted = {name.encode(): name for name in options()}
    for jar in jars:
        if not jar.name.startswith(("spark-core", "spark-kubernetes", "spark-common")):
            continue
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.namelist():
                if entry.endswith(".class") and ("/config/" in entry or "/k8s/Config" in entry or "Conf" in entry):
                    data = archive.read(entry)
                    wanted = {key: name for key, name in wanted.items() if key not in data}
    assert list(wanted.values()) == []
    assert not [value for value in options().values() if "$(" in value], "a variable that no pod has"
    assert variables()["YUQING_CLEANING__MASTER"].startswith("k8s://https://")
