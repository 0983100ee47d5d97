"""A pod's port as a URL on this machine: its own address in the cluster, a forwarded port (as `kubectl port-forward`) elsewhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from yuqing.cluster.connection import Cluster, ClusterError

_CHUNK = 2**16


@contextmanager
def reach(cluster: Cluster, pod: dict[str, Any], port: int) -> Iterator[str]:
    """The base URL (http://host:port) under which a pod's port answers while the block runs. Raises ClusterError."""
    if cluster.inside:
        address = str((pod.get("status") or {}).get("podIP") or "")
        if not address:
            raise ClusterError(f"the pod {pod['metadata']['name']} has no address yet", cure="wait until it runs")
        yield f"http://{f'[{address}]' if ':' in address else address}:{port}"
        return
    name = pod["metadata"]["name"]
    _open(cluster, name, port).close()  # a refusal is told now, and not in the middle of a request
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(cluster, name, port, listener), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def pod_port(pod: dict[str, Any], default: int) -> int:
    """The port of a pod's first container that is named "http", or else the default."""
    ports = pod["spec"]["containers"][0].get("ports") or []
    return next((int(item["containerPort"]) for item in ports if item.get("name") == "http"), default)


def _open(cluster: Cluster, name: str, port: int) -> Any:
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.stream import portforward

    def call(api: ApiClient) -> Any:
        # It puts another way of sending into its client while it connects: one of its own, for others send meanwhile.
        own = CoreV1Api(ApiClient(api.configuration))
        return portforward(own.connect_get_namespaced_pod_portforward, name, cluster.namespace, ports=str(port))

    return cluster.ask(f"reach the pod {name}", call)


def _accept(cluster: Cluster, name: str, port: int, listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the block has ended
            return
        threading.Thread(target=_carry, args=(cluster, name, port, connection), daemon=True).start()


def _carry(cluster: Cluster, name: str, port: int, near: socket.socket) -> None:
    """Carry bytes both ways until either side closes; a tunnel that cannot be made closes the near side."""
    with near:
        try:
            tunnel = _open(cluster, name, port)
        except ClusterError:
            return
        far = tunnel.socket(port)
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()
        tunnel.close()


def _copy(source: Any, target: Any) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
