"""What objects of an overlay name exists in it: no API server is asked, so nothing else would tell before the pods hang."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.deploy.rendered import OVERLAYS, Object, Pod, overlay, pods, template_of

pytestmark = pytest.mark.parametrize("name", OVERLAYS)
# Brought by somebody else: cert-manager writes the certificate, a person the variables that site files name and, where it is
# needed, the account for backups.
FROM_ELSEWHERE = {("Secret", "gateway-tls"), ("Secret", "yuqing-sites"), ("Secret", "yuqing-backup")}
CLUSTER_WIDE = {"Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding"}


def keys_by_object(name: str) -> dict[tuple[str, str], set[str] | None]:
    """ConfigMaps, Secrets, claims, accounts ... of an overlay; for ConfigMaps and Secrets with their keys."""
    found: dict[tuple[str, str], set[str] | None] = dict.fromkeys(FROM_ELSEWHERE)
    for item in overlay(name):
        identity = (item["kind"], item["metadata"]["name"])
        if item["kind"] in ("ConfigMap", "Secret"):
            found[identity] = {*item.get("data", {}), *item.get("stringData", {})}
        elif item["kind"] == "ExternalSecret":
            target = item["spec"]["target"].get("name", item["metadata"]["name"])
            found["Secret", target] = {entry["secretKey"] for entry in item["spec"]["data"]}
        else:
            found[identity] = None
        if item["kind"] == "StatefulSet":
            for claim in item["spec"].get("volumeClaimTemplates", ()):
                found["PersistentVolumeClaim", claim["metadata"]["name"]] = None
    return found


def named(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key) of what a pod needs to start."""
    yield "ServiceAccount", pod.spec["serviceAccountName"], None
    yield "PriorityClass", pod.spec["priorityClassName"], None
    for volume in pod.spec.get("volumes", ()):
        if "configMap" in volume:
            for item in volume["configMap"].get("items", [{"key": None}]):
                yield "ConfigMap", volume["configMap"]["name"], item["key"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None
    for container in pod.containers:
        for source in container.get("envFrom", ()):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], None
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {})
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], source[field]["key"]


def test_no_object_is_there_twice_and_all_are_in_the_namespace(name: str) -> None:
    counts = Counter(
        (item["apiVersion"].partition("/")[0], item["kind"], item["metadata"]["name"]) for item in overlay(name)
    )
    assert not [identity for identity, count in counts.items() if count > 1]
    for item in overlay(name):
        expected = None if item["kind"] in CLUSTER_WIDE else "yuqing"
        assert item["metadata"].get("namespace") == expected, item["kind"]


def test_what_pods_name_exists(name: str) -> None:
    known = keys_by_object(name)
    dangling = []
    for pod in pods(name):
        for kind, wanted, key in named(pod):
            if (kind, wanted) not in known or (key is not None and key not in (known[kind, wanted] or ())):
                dangling.append(f"{pod}: {kind} {wanted} {key or ''}")
    assert not dangling, "\n".join(dangling)


def test_every_configmap_secret_claim_and_account_is_used(name: str) -> None:
    used = {(kind, wanted) for pod in pods(name) for kind, wanted, _ in named(pod)}
    kinds = ("ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount", "PriorityClass")
    idle = [
        f"{item['kind']} {item['metadata']['name']}"
        for item in overlay(name)
        if item["kind"] in kinds
        and (item["kind"], item["metadata"]["name"]) not in used
        and "grafana_dashboard" not in item["metadata"].get("labels", {})
    ]
    assert not idle, "\n".join(idle)


def test_volumes_and_mounts_belong_together(name: str) -> None:
    for pod in pods(name):
        there = {volume["name"] for volume in pod.spec.get("volumes", ())}
        if pod.kind == "StatefulSet":
            workload = next(i for i in overlay(name) if i["kind"] == pod.kind and i["metadata"]["name"] == pod.name)
            there |= {claim["metadata"]["name"] for claim in workload["spec"]["volumeClaimTemplates"]}
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", ())}
        assert mounted == there, str(pod)


def selected(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", ()):
        has = rule["key"] in labels
        wanted = {
            "In": labels.get(rule["key"]) in rule.get("values", ()),
            "NotIn": labels.get(rule["key"]) not in rule.get("values", ()),
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not wanted[rule["operator"]]:
            return False
    return True


def selectors(item: Object) -> Iterator[tuple[Object, list[str | int]]]:
    """(selector, the ports that it opens) for everything in an object that selects pods of this namespace."""
    spec = item.get("spec", {})
    if item["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
        yield spec["selector"], [end["port"] for end in spec.get("podMetricsEndpoints", ())]
    if item["kind"] == "Service":
        yield {"matchLabels": spec["selector"]}, [port.get("targetPort", port["port"]) for port in spec["ports"]]
    if item["kind"] == "NetworkPolicy":
        opened = [port["port"] for rule in spec.get("ingress", ()) for port in rule.get("ports", ())]
        yield spec["podSelector"], opened
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, ()):
                ports = [port["port"] for port in rule.get("ports", ())] if direction == "egress" else []
                for peer in rule.get(peers, ()):
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        yield peer["podSelector"], ports


def test_selectors_take_pods_that_have_the_ports(name: str) -> None:
    everyone = list(pods(name))
    services = [item for item in overlay(name) if item["kind"] == "Service"]
    problems = []
    for item in overlay(name):
        what = f"{item['kind']} {item['metadata']['name']}"
        for selector, ports in selectors(item):
            chosen = [pod for pod in everyone if selected(selector, pod.labels)]
            if not chosen:
                problems.append(f"{what}: {selector} takes no pod")
            for port in ports:
                open_ = [
                    declared[field]
                    for pod in chosen
                    for container in pod.containers
                    for declared in container.get("ports", ())
                    for field in ("name", "containerPort")
                ]
                if port not in open_:
                    problems.append(f"{what}: no pod that it takes has the port {port}")
        if item["kind"] == "ServiceMonitor":
            taken = [s for s in services if selected(item["spec"]["selector"], s["metadata"]["labels"])]
            offered = {port["name"] for service in taken for port in service["spec"]["ports"]}
            problems += [f"{what}: {end['port']}" for end in item["spec"]["endpoints"] if end["port"] not in offered]
    assert not problems, "\n".join(problems)


def test_a_workloads_selector_takes_only_its_own_pods(name: str) -> None:
    everyone = list(pods(name))
    for item in overlay(name):
        if item["kind"] in ("Deployment", "StatefulSet"):
            taken = [str(pod) for pod in everyone if selected(item["spec"]["selector"], pod.labels)]
            assert taken == [f"{item['kind']} {item['metadata']['name']}"]


def test_what_else_objects_name_exists(name: str) -> None:
    known = {(item["kind"], item["metadata"]["name"]): item for item in overlay(name)}
    for item in overlay(name):
        spec = item.get("spec", {})
        if item["kind"] == "ScaledObject":
            for trigger in spec["triggers"]:
                assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in known
        if item["kind"] == "TriggerAuthentication":
            for target in spec["secretTargetRef"]:
                assert target["key"] in (keys_by_object(name)["Secret", target["name"]] or ())
        if item["kind"] == "Ingress":
            for rule in spec["rules"]:
                for path in rule["http"]["paths"]:
                    service = path["backend"]["service"]
                    ports = {port["name"] for port in known["Service", service["name"]]["spec"]["ports"]}
                    assert service["port"]["name"] in ports
            hosts = {rule["host"] for rule in spec["rules"]}
            assert not spec.get("tls") or {host for entry in spec["tls"] for host in entry["hosts"]} == hosts
        if item["kind"] == "RoleBinding":
            assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in known
            assert all((subject["kind"], subject["name"]) in known for subject in item["subjects"])
        if item["kind"] == "StatefulSet":
            assert ("Service", spec["serviceName"]) in known


def test_an_autoscaler_has_its_deployment_for_itself(name: str) -> None:
    """Two would fight, and so would `kubectl apply` with replicas of its own."""
    known = {(item["kind"], item["metadata"]["name"]): item for item in overlay(name)}
    targets = Counter(scaled(name))
    assert [target for target, count in targets.items() if count > 1] == []
    for target in targets:
        assert "replicas" not in known[target]["spec"], "each apply would undo the scaling"
    expected = {
        "laptop": set(),
        "production": {"gateway", "asr", "analyze", "llm"},
        "production with queue-hpa": {"gateway", "asr", "analyze", "llm"},
        "production without keda": {"gateway", "asr", "analyze"},
    }
    assert {target for _, target in targets} == expected[name]
    for _, target in targets:
        spread = known["Deployment", target]["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in {constraint["topologyKey"] for constraint in spread}, target


def scaled(name: str) -> Iterator[tuple[str, str]]:
    """(kind, name) of what each autoscaler of an overlay scales: HorizontalPodAutoscalers, and KEDA's, which makes one."""
    for item in overlay(name):
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = item["spec"]["scaleTargetRef"]
            yield target.get("kind", "Deployment"), target["name"]


def test_the_language_models_address_is_its_service(name: str) -> None:
    settings = next(item["data"] for item in overlay(name) if item["metadata"]["name"].startswith("settings-"))
    ports = {item["metadata"]["name"]: item["spec"]["ports"] for item in overlay(name) if item["kind"] == "Service"}
    assert settings["YUQING_LLM__URL"] == f"http://llm:{ports['llm'][0]['port']}/v1"


def test_a_template_is_labelled_as_yuqing_k8s_expects(name: str) -> None:
    from yuqing.cluster import COMPONENTS

    for item in overlay(name):
        template = template_of(item)
        if template and item["kind"] != "StatefulSet":
            labels = template["metadata"]["labels"]
            assert labels["app.kubernetes.io/part-of"] == "yuqing"
            assert labels["app.kubernetes.io/component"] in COMPONENTS
            assert item["metadata"]["labels"].items() >= {
                ("app.kubernetes.io/part-of", "yuqing"),
                ("app.kubernetes.io/component", labels["app.kubernetes.io/component"]),
            }
