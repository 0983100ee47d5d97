"""What the manifests allow: as little as the restricted Pod Security Standard, and less."""

import ipaddress

import pytest

from tests.deploy.rendered import OVERLAYS, Pod, overlay, pods
from tests.deploy.test_references import selected

pytestmark = pytest.mark.parametrize("name", OVERLAYS)
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "csi", "downwardAPI"}
TALKS_TO_THE_API_SERVER = {"clean", "gateway"}


def component(pod: Pod) -> str:
    return pod.labels["app.kubernetes.io/component"]


def test_pods_are_restricted(name: str) -> None:
    for pod in pods(name):
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] >= 100, pod
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), pod
        for volume in pod.spec.get("volumes", ()):
            assert volume.keys() - {"name"} <= VOLUMES, pod
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], (
                f"{pod}: {volume['name']} may fill the node"
            )
        for container in pod.containers:
            what = f"{pod}: {container['name']}"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, what
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), what
            assert "memory" in container["resources"]["limits"], what
            assert not any("hostPort" in port for port in container.get("ports", ())), what
    namespace = next(item for item in overlay(name) if item["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_service_account_a_component_and_tokens_only_where_they_are_used(name: str) -> None:
    accounts = {item["metadata"]["name"]: item for item in overlay(name) if item["kind"] == "ServiceAccount"}
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    for pod in pods(name):
        if pod.kind != "StatefulSet":
            assert pod.spec["serviceAccountName"] == component(pod), pod
        assert pod.spec["automountServiceAccountToken"] is (component(pod) in TALKS_TO_THE_API_SERVER), pod


def test_rights_are_bound_to_those_two_and_no_wildcard_is_given(name: str) -> None:
    bound = {
        subject["name"]: item["roleRef"]["name"]
        for item in overlay(name)
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding")
        for subject in item["subjects"]
    }
    assert bound == {"clean": "clean", "gateway": "gateway"}
    for item in overlay(name):
        for rule in item.get("rules", ()) if item["kind"] in ("Role", "ClusterRole") else ():
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert item["metadata"]["name"] == "operator" or "secrets" not in rule["resources"]


def test_nothing_is_reached_that_is_not_written_down(name: str) -> None:
    policies = [item["spec"] for item in overlay(name) if item["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    internet = []
    for pod in pods(name):
        for policy in policies:
            if not selected(policy["podSelector"], pod.labels):
                continue
            for rule in policy.get("egress", ()):
                assert rule.get("to") and rule.get("ports"), "an empty list means everywhere"
                blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
                if any(not ipaddress.ip_network(block).is_private for block in blocks):
                    internet.append(component(pod))
            for rule in policy.get("ingress", ()):
                assert rule.get("from") and rule.get("ports"), "an empty list means everybody"
    assert set(internet) == {"crawl"}


def test_crawlers_reach_only_public_addresses(name: str) -> None:
    policy = next(item for item in overlay(name) if item["metadata"]["name"] == "crawl-internet")
    block = policy["spec"]["egress"][0]["to"][0]["ipBlock"]
    kept_out = [ipaddress.ip_network(network) for network in block["except"]]
    for address in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "172.20.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1"):
        assert any(ipaddress.ip_address(address) in network for network in kept_out), address


def test_stores_are_reached_by_those_who_have_their_secrets(name: str) -> None:
    for pod in pods(name):
        if pod.kind in ("StatefulSet", "Pod"):  # an executor gets addresses and keys from its driver
            continue
        secrets = {
            source["secretRef"]["name"]
            for container in pod.containers
            for source in container.get("envFrom", ())
            if "secretRef" in source
        }
        for store, secret in (("s3", "yuqing-s3"), ("database", "yuqing-database")):
            assert (secret in secrets) == (pod.labels.get(f"yuqing/uses-{store}") == "true"), f"{pod}: {store}"
        if component(pod) == "crawl":
            assert secrets == {"yuqing-s3", "yuqing-sites"}


def test_no_secret_is_written_into_a_manifest_but_the_laptops(name: str) -> None:
    from pydantic import SecretStr

    from yuqing.settings import Settings

    secret = {
        f"YUQING_{section}__{field}".upper()
        for section, part in Settings.model_fields.items()
        for field, info in getattr(part.annotation, "model_fields", {}).items()
        if SecretStr in (info.annotation, *getattr(info.annotation, "__args__", ()))
    }
    assert len(secret) >= 5
    for item in overlay(name):
        assert item["kind"] != "ConfigMap" or not secret & item["data"].keys()
        assert item["kind"] != "Secret" or name == "laptop"
    for pod in pods(name):
        for container in pod.containers:
            assert not [v["name"] for v in container.get("env", ()) if v["name"] in secret and "value" in v], pod
