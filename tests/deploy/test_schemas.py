"""Every object of every overlay against the API's schemas: Kubernetes 1.30 to 1.37, and those of the operators used."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate.utils
import pytest
from referencing import Registry, Resource

from tests.deploy.rendered import OVERLAYS, Object, overlay, pods

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
CUSTOM = Path(__file__).parent / "custom_kinds"


@cache
def read(path: str, version: str) -> Any:
    """A file of the package, parsed once: it has megabytes."""
    return kubernetes_validate.utils.schema_contents(path, version)


@cache
def registry(folder: str, version: str) -> Registry[Any]:
    """The definitions that a version's schemas refer to."""
    return Resource.from_contents(read(f"{folder}/_definitions.json", version)) @ Registry()


def validator(found: Object, version: str) -> jsonschema.Draft202012Validator:
    """What `kubernetes-validate --strict` would make of an object, without its reading all definitions for each object anew."""
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    api = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", found["apiVersion"])
    schema = read(f"{folder}/{found['kind'].lower()}-{api}.json", version)
    own = Resource.from_contents(schema) @ registry(folder, version)
    return jsonschema.Draft202012Validator(schema, registry=own)


def custom_schema(found: Object) -> Path:
    """The schema of the fields that we use, beside this test."""
    return CUSTOM / f"{found['apiVersion'].replace('/', '_')}_{found['kind']}.json"


def is_custom(found: Object) -> bool:
    group = found["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def everything() -> list[Object]:
    """The objects of all overlays, and the pods that Spark's driver makes, each once."""
    found = [item for name in OVERLAYS for item in overlay(name)]
    found += [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name, "labels": pod.labels}, "spec": pod.spec}
        for name in OVERLAYS
        for pod in pods(name)
        if pod.kind == "Pod"
    ]
    return list({json.dumps(item, sort_keys=True): item for item in found}.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(version: str) -> None:
    problems = [
        f"{found['kind']} {found['metadata']['name']}: {'.'.join(map(str, error.absolute_path))}: {error.message}"
        for found in everything()
        if not is_custom(found)
        for error in validator(found, version).iter_errors(found)
    ]
    assert not problems, "\n".join(problems)


def test_the_schemas_are_those_of_kubernetes_validate() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    assert [error.message for error in validator(wrong, VERSIONS[-1]).iter_errors(wrong)]
    with pytest.raises(kubernetes_validate.utils.ValidationError):
        kubernetes_validate.utils.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_operators_take_their_kinds(name: str) -> None:
    problems = []
    for found in filter(is_custom, overlay(name)):
        path = custom_schema(found)
        assert path.exists(), f"{found['kind']} of {found['apiVersion']} has no schema: write {path}"
        validator = jsonschema.Draft202012Validator(json.loads(path.read_text()))
        for error in validator.iter_errors(found):
            where = ".".join(map(str, error.absolute_path))
            problems.append(f"{found['kind']} {found['metadata']['name']}: {where}: {error.message}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", sorted(CUSTOM.glob("*.json")), ids=lambda path: path.stem)
def test_a_custom_schema_refuses_what_it_does_not_know(path: Path) -> None:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    def look(part: object, where: str) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object":
                assert "additionalProperties" in part, f"{where}: any field would do"
            for key, value in part.items():
                look(value, f"{where}.{key}")

    look(schema, path.stem)
