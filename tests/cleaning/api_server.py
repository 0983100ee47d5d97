"""As much of Kubernetes as Spark's driver needs: an API server for pods that writes down what it is asked, and a kubelet that
starts a pod's container as a process of this machine, through the image's own entry point.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PODS = "/api/v1/namespaces/{namespace}/pods"


@dataclass
class Cluster:
    """The state: pods by name, the requests as (verb, resource) of RBAC, and the pods' processes."""

    namespace: str
    folder: Path
    entry: list[str]
    environment: dict[str, str]
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    version: int = 1
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Take a pod in, and start it."""
        name = pod["metadata"]["name"]
        self.made.append(json.loads(json.dumps(pod)))
        pod["metadata"] |= {"uid": name, "namespace": self.namespace, "creationTimestamp": "2024-06-01T08:00:00Z"}
        pod["status"] = {"phase": "Pending"}
        container = pod["spec"]["containers"][0]
        environment = {**self.environment}
        for variable in container["env"]:
            source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            fields = {"status.podIP": "127.0.0.1", "metadata.name": name}
            environment[variable["name"]] = fields[source] if source else variable.get("value", "")
        folder = self.folder / name
        folder.mkdir()
        environment |= {"SPARK_LOCAL_DIRS": str(folder), "HOME": str(folder)}
        log = (self.folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            [*self.entry, *container["args"]], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        state = {
            "name": container["name"],
            "state": {"running": {}},
            "ready": True,
            "restartCount": 0,
            "image": "",
            "imageID": "",
        }
        self.put(name, pod | {"status": {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [state]}})
        threading.Thread(target=self._watch, args=(name,), daemon=True).start()
        return pod

    def _watch(self, name: str) -> None:
        code = self.processes[name].wait()
        with self.changed:
            if pod := self.pods.get(name):
                pod["status"]["phase"] = "Failed" if code else "Succeeded"
                pod["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": code}}
        if name in self.pods:
            self.put(name, self.pods[name])

    def put(self, name: str, pod: dict[str, Any]) -> None:
        """Store a pod, and tell those who watch."""
        with self.changed:
            self.version += 1
            pod["metadata"]["resourceVersion"] = str(self.version)
            self.pods[name] = pod
            self.changed.notify_all()

    def delete(self, name: str) -> None:
        """End a pod."""
        with self.changed:
            self.pods.pop(name, None)
        if process := self.processes.get(name):
            process.terminate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is kept."""

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        parts = address.path.strip("/").split("/")
        if parts[:3] != ["api", "v1", "namespaces"]:
            self._answer({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
            return
        resource, name = parts[4], parts[5] if len(parts) > 5 else ""
        watched = query.get("watch") == ["true"]
        verb = {
            "GET": "watch" if watched else "get" if name else "list",
            "POST": "create",
            "PUT": "update",
            "PATCH": "patch",
            "DELETE": "delete" if name else "deletecollection",
        }[self.command]
        self.cluster.asked.add((verb, resource))
        if resource != "pods":
            self._answer({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []})
        elif verb == "watch":
            self._watch()
        elif verb == "create":
            assert body is not None
            self._answer(self.cluster.create(body), 201)
        elif verb == "list":
            one = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
            items = [
                pod
                for each, pod in self.cluster.pods.items()
                if (each == one if one else "spark-role" in pod["metadata"].get("labels", {}))
            ]
            metadata = {"resourceVersion": str(self.cluster.version)}
            self._answer({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items})
        elif verb == "deletecollection":
            for each in [
                each for each, pod in self.cluster.pods.items() if "spark-role" in pod["metadata"].get("labels", {})
            ]:
                self.cluster.delete(each)
            self._answer({"apiVersion": "v1", "kind": "Status", "status": "Success"})
        elif name not in self.cluster.pods:
            missing = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            self._answer(missing, 404)
        elif verb == "delete":
            pod = self.cluster.pods[name]
            self.cluster.delete(name)
            self._answer(pod)
        else:
            self._answer(self.cluster.pods[name])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _watch(self) -> None:
        """A stream of events as lines, also to those who would rather have a web socket."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        seen = 0
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with self.cluster.changed:
                self.cluster.changed.wait(timeout=0.5)
                fresh = [pod for pod in self.cluster.pods.values() if int(pod["metadata"]["resourceVersion"]) > seen]
                seen = self.cluster.version
            try:
                for pod in fresh:
                    self.wfile.write(json.dumps({"type": "MODIFIED", "object": pod}).encode() + b"\n")
                self.wfile.flush()
            except OSError:
                return


@contextmanager
def serve(cluster: Cluster) -> Iterator[str]:
    """Serve the cluster on a free port of the loopback address; yields its URL. Ends what pods still run."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        for process in cluster.processes.values():
            process.kill()
            process.wait()


def bare_environment() -> dict[str, str]:
    """What a container has of this machine."""
    return {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
