"""An HTTPS server that speaks the few calls of the Kubernetes API that yuqing uses, in the shapes that a real one sends.

It keeps objects by their path, numbers each change, and answers get, list (in pages), create, watch, logs and port-forward. A
test can take rights away, let tokens expire, break watches and logs in the middle, and let versions be forgotten.
"""

from __future__ import annotations

import base64
import copy
import datetime
import hashlib
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wsproto.frame_protocol import FrameProtocol, Opcode

GROUPS = {"cronjobs": "batch", "jobs": "batch", "deployments": "apps", "storageclasses": "storage.k8s.io"}
USER = "system:serviceaccount:yuqing:operator"
_PATH = re.compile(
    r"/apis?/(?:[^/]+/)?v\d[^/]*(?:/namespaces/(?P<namespace>[^/]+))?/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?P<rest>/.*)?"
)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "ca.crt", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def failure(code: int, reason: str, message: str, **details: str) -> dict[str, Any]:
    """The Status object that goes with a refusal."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


@dataclass
class ApiServer:
    """What the server knows, and how it is made to fail."""

    folder: Path
    tokens: set[str] = field(default_factory=lambda: {"token-1"})
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)  # kind, namespace, name
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    version: int = 100
    forgotten: int = 0  # a watch from an older version is told that it is gone
    denied: set[tuple[str, str]] = field(default_factory=set)  # verb, kind
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)  # path -> what it answers next, once each
    logs: dict[str, list[list[str]]] = field(
        default_factory=dict
    )  # pod -> lines of each connection; all but the last break
    watch_breaks: list[str] = field(default_factory=list)  # how the next watches end: "close", "half", "gone"
    pages: dict[str, tuple[int, Any]] = field(
        default_factory=dict
    )  # pod/path -> what the pod answers through the proxy
    ports: dict[str, int] = field(default_factory=dict)  # pod -> local port that its port-forward leads to
    seen: list[tuple[str, str]] = field(default_factory=list)  # method, path with query
    on_create: Callable[[dict[str, Any]], None] = lambda item: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        crt, key = certificate(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        self.ca = crt
        outer = self

        class Handler(_Handler):
            server_state = outer

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening; watches end."""
        self.http.shutdown()
        self.http.server_close()

    def kubeconfig(self, token: str = "token-1", namespace: str = "yuqing") -> Path:
        """A kubeconfig for this server."""
        path = self.folder / "kubeconfig"
        user: dict[str, Any] = {"tokenFile": str(self.folder / "token")}
        (self.folder / "token").write_text(token)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        }
        path.write_text(json.dumps(config))
        return path

    def put(self, kind: str, item: dict[str, Any], namespace: str = "yuqing", event: str = "ADDED") -> dict[str, Any]:
        """Keep an object and tell those who watch."""
        with self.changed:
            self.version += 1
            name = item["metadata"]["name"]
            item["metadata"].setdefault("uid", f"00000000-0000-4000-8000-{self.version:012d}")
            item["metadata"]["resourceVersion"] = str(self.version)
            item["metadata"].setdefault("creationTimestamp", "2026-06-01T08:00:00Z")
            key = (kind, namespace, name)
            if event == "DELETED":
                self.objects.pop(key, None)
            else:
                item["metadata"].setdefault("namespace", namespace)
                self.objects[key] = item
            self.events.append((self.version, {"kind": kind, "type": event, "object": copy.deepcopy(item)}))
            self.changed.notify_all()
        return item

    def change(self, kind: str, name: str, namespace: str = "yuqing", **parts: Any) -> None:
        """Change an object's parts (status=...)."""
        item = copy.deepcopy(self.objects[(kind, namespace, name)])
        item.update(parts)
        self.put(kind, item, namespace, "MODIFIED")

    def find(self, kind: str, namespace: str | None, query: dict[str, str]) -> list[dict[str, Any]]:
        """The objects of a kind that a list's selectors leave."""
        wanted = [part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part]
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)
        return [
            item
            for (its_kind, its_namespace, name), item in sorted(self.objects.items())
            if its_kind == kind
            and namespace in (None, its_namespace)
            and all((item["metadata"].get("labels") or {}).get(label) == value for label, value in wanted)
            and fields.get("metadata.name", name) == name
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ApiServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self, code: int, body: Any, content_type: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, code: int, reason: str, message: str, **details: str) -> None:
        self._answer(code, failure(code, reason, message, **details))

    def _handle(self) -> None:
        state = self.server_state
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        state.seen.append((self.command, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization", "").removeprefix("Bearer ").removeprefix("bearer ") not in state.tokens:
            return self._refuse(401, "Unauthorized", "Unauthorized")
        if state.answers.get(url.path):
            return self._answer(*state.answers[url.path].pop(0))
        if url.path == "/version":
            return self._answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
        found = _PATH.fullmatch(url.path)
        if not found:
            return self._refuse(404, "NotFound", "the server could not find the requested resource")
        kind, namespace, name, rest = found["kind"], found["namespace"], found["name"], found["rest"] or ""
        if kind == "selfsubjectaccessreviews":
            return self._review(json.loads(body))
        port = ""
        if name and ":" in name:
            name, _, port = name.partition(":")
        verb = {"GET": "get" if name else "watch" if query.get("watch") else "list", "POST": "create"}[self.command]
        resource = kind + rest if rest in ("/log", "/portforward") else f"{kind}/proxy" if port else kind
        if (verb, resource) in state.denied:
            where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
            group, subject = GROUPS.get(kind, ""), f"{kind}.{GROUPS[kind]}" if kind in GROUPS else kind
            subject = f'{subject} "{name}"' if name else subject
            message = f'{subject} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}"{where}'
            return self._refuse(403, "Forbidden", message, kind=kind)
        if self.command == "POST" and not rest:
            return self._create(kind, namespace, json.loads(body))
        if name:
            return self._one(kind, namespace, name, rest, query)
        if query.get("watch"):
            return self._watch(kind, namespace, query)
        return self._list(kind, namespace, query)

    do_GET = do_POST = _handle  # noqa: N815 - the names that http.server looks for

    def _review(self, body: dict[str, Any]) -> None:
        wanted = body["spec"]["resourceAttributes"]
        resource = wanted["resource"] + (f"/{wanted['subresource']}" if wanted.get("subresource") else "")
        allowed = (wanted["verb"], resource) not in self.server_state.denied
        self._answer(201, {**body, "status": {"allowed": allowed}})

    def _list(self, kind: str, namespace: str | None, query: dict[str, str]) -> None:
        items = self.server_state.find(kind, namespace, query)
        start, limit = int(query.get("continue") or 0), min(int(query.get("limit") or 500), 2)  # small pages
        metadata = {"resourceVersion": str(self.server_state.version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        self._answer(200, {"kind": "List", "metadata": metadata, "items": items[start : start + limit]})

    def _create(self, kind: str, namespace: str, item: dict[str, Any]) -> None:
        state, name = self.server_state, item["metadata"]["name"]
        if (kind, namespace, name) in state.objects:
            group = GROUPS.get(kind, "")
            message = f'{kind}.{group} "{name}" already exists'
            return self._refuse(409, "AlreadyExists", message, name=name, group=group, kind=kind)
        made = state.put(kind, {**item, "status": {}}, namespace)
        state.on_create(made)
        return self._answer(201, made)

    def _one(self, kind: str, namespace: str, name: str, rest: str, query: dict[str, str]) -> None:
        state = self.server_state
        item = state.objects.get((kind, namespace or "", name))
        if item is None:
            subject = f"{kind}.{GROUPS[kind]}" if kind in GROUPS else kind
            return self._refuse(404, "NotFound", f'{subject} "{name}" not found', name=name, kind=kind)
        if rest == "/log":
            return self._log(name, query)
        if rest == "/portforward":
            return self._forward(name, query)
        if rest.startswith("/proxy/"):
            return self._answer(*state.pages[name + rest.removeprefix("/proxy")])
        return self._answer(200, item)

    def _stream(self) -> Callable[[bytes], None]:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def send(data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        return send

    def _break(self) -> None:
        """End the connection without the last chunk, as a load balancer or a restart of the API server does."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _watch(self, kind: str, namespace: str | None, query: dict[str, str]) -> None:
        state, position = self.server_state, int(query["resourceVersion"])
        send = self._stream()
        how = state.watch_breaks.pop(0) if state.watch_breaks else ""
        if position < state.forgotten or how == "gone":
            message = f"too old resource version: {position} ({state.version})"
            send(json.dumps({"type": "ERROR", "object": failure(410, "Expired", message)}).encode() + b"\n")
            send(b"")
            return
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)
        deadline = threading.Event()
        timer = threading.Timer(float(query.get("timeoutSeconds") or 60), deadline.set)
        timer.daemon = True
        timer.start()
        if how == "close":
            send(b"")
            return
        while not deadline.is_set():
            with state.changed:
                fresh = [(number, event) for number, event in state.events if number > position]
                if not fresh:
                    state.changed.wait(0.05)
                    continue
            for number, event in fresh:
                position = number
                if event["kind"] != kind or fields.get("metadata.name", "") not in (
                    "",
                    event["object"]["metadata"]["name"],
                ):
                    continue
                line = json.dumps({"type": event["type"], "object": event["object"]}).encode() + b"\n"
                if how == "half":
                    send(line[: len(line) // 2])
                    self._break()
                    return
                send(line)
        send(b"")

    def _log(self, name: str, query: dict[str, str]) -> None:
        state = self.server_state
        connections = state.logs.get(name)
        if not connections:
            message = f'container "main" in pod "{name}" is waiting to start: PodInitializing'
            return self._refuse(400, "BadRequest", message)
        lines = connections.pop(0) if query.get("follow") and len(connections) > 1 else connections[0]
        breaks = bool(query.get("follow")) and lines is not connections[0]
        if query.get("timestamps") != "true":
            lines = [line.partition(" ")[2] for line in lines]
        if query.get("tailLines"):
            lines = lines[-int(query["tailLines"]) :]
        send = self._stream()
        for line in lines:
            send(line.encode() + b"\n")
        if breaks:
            self._break()
            return None
        send(b"")
        return None

    def _forward(self, name: str, query: dict[str, str]) -> None:
        """Port-forward: a WebSocket, channel 0 data and 1 errors, each begun by the port's number (little-endian)."""
        port = int(query["ports"])
        accept = base64.b64encode(
            hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        ).decode()
        self.send_response(101)
        for header, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(header, value)
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        frames, out = FrameProtocol(client=False, extensions=[]), threading.Lock()

        def send(channel: int, data: bytes) -> None:
            with out:
                self.connection.sendall(frames.send_data(bytes([channel]) + data))  # type: ignore[arg-type]

        for channel in (0, 1):
            send(channel, port.to_bytes(2, "little"))
        try:
            target = socket.create_connection(("127.0.0.1", self.server_state.ports[name]))
        except OSError as error:
            send(1, f"error forwarding port {port} to pod {name}: {error}".encode())
            return

        def back() -> None:
            while data := target.recv(65536):
                send(0, data)
            with out, suppress(OSError):  # the client may have gone first
                self.connection.sendall(frames.close())
                self.connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        while data := self.connection.recv(65536):
            frames.receive_bytes(data)
            for frame in frames.received_frames():
                if frame.opcode is Opcode.BINARY and frame.payload[:1] == b"\0":
                    target.sendall(frame.payload[1:])
                elif frame.opcode is Opcode.BINARY:
                    target.sendall(frame.payload)
                elif frame.opcode is Opcode.CLOSE:
                    target.close()
                    return
