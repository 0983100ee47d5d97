"""A web server whose answers a test writes down, the newsroom, and the crawl as a process of its own."""

import gzip
import json
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.newsroom.launch import running
from yuqing.contracts import RawDocument, read_raw_document
from yuqing.objects import ObjectStore

ROOT = Path(__file__).parents[2]


@dataclass
class Answer:
    """What the server says: status, headers, body; `behave` may do what it likes with the connection instead."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})
    behave: Callable[[BaseHTTPRequestHandler], None] | None = None


class WebServer:
    """Answers of a test's own on 127.0.0.1; `asked` counts requests by path with its query."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with outer._lock:
                    outer.asked[self.path] += 1
                found = outer.answers.get(self.path, Answer(status=404))
                answer = found() if callable(found) else found
                if answer.behave:
                    answer.behave(self)
                    return
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def article(self, path: str, text: str = "", extra: str = "") -> None:
        """An ordinary article page."""
        self.answers[path] = Answer(
            f"<html><head><title>{path}</title>{extra}</head><body><p>{text or path}</p></body></html>"
        )

    def hub(self, links: list[str], path: str = "/") -> None:
        """A page that links to others."""
        items = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
        self.answers[path] = Answer(f"<html><body><ul>{items}</ul></body></html>")

    def site(self, **changes: Any) -> dict[str, Any]:
        """A site definition whose articles are /a/<anything>."""
        escaped = self.url.replace(".", r"\.")
        return {
            "name": "local",
            "title": "本地",
            "start_urls": [f"{self.url}/"],
            "articles": [rf"{escaped}/a/.+"],
            "delay": 0,
            "concurrency": 8,
            "allow_private_addresses": True,
            **changes,
        }


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def newsroom() -> Iterator[dict[str, str]]:
    """The newsroom's base URLs."""
    with running() as base_urls:
        yield base_urls


@dataclass
class Crawl:
    """Runs `yuqing crawl` against the test's own part of the bucket."""

    environment: dict[str, str]
    sites: Path
    store: ObjectStore
    temporary: Path
    program: tuple[str, ...] = ("-m", "yuqing")

    def define(self, *sites: dict[str, Any]) -> None:
        """Write the site files that the command will read, in place of any before."""
        self.sites.mkdir(exist_ok=True)
        for path in self.sites.glob("*.yaml"):
            path.unlink()
        for site in sites:
            (self.sites / f"{site['name']}.yaml").write_text(yaml.safe_dump(site, allow_unicode=True), encoding="utf-8")

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """The command as a process; settings are those of the crawler, by name."""
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.sites.parent),
            "TMPDIR": str(self.temporary),
            **self.environment,
            "YUQING_CRAWLER__BACKOFF_BASE_S": "0.05",
            "YUQING_CRAWLER__SITES_FOLDERS": json.dumps([str(self.sites)]),
            **{f"YUQING_CRAWLER__{name.upper()}": value for name, value in settings.items()},
        }
        return subprocess.Popen(
            [sys.executable, *self.program, "crawl", *arguments, "--json"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0, **settings: str) -> dict[str, Any]:
        """Run to the end and return the totals."""
        process = self.start(*(arguments or ("--all",)), **settings)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == status, errors[-3000:]
        return json.loads(output) if output else {"stderr": errors}

    def finish(self, process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str, str]:
        """Send a signal and wait: (exit status, standard output, standard error)."""
        process.send_signal(how)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    def documents(self) -> list[RawDocument]:
        """Everything under raw/, in the order of the batches."""
        lines: list[bytes] = []
        for item in self.store.list("raw/"):
            lines += gzip.decompress(self.store.get(item.key)).splitlines()
        return [read_raw_document(line) for line in lines]


@pytest.fixture
def crawl(environment: dict[str, str], store: ObjectStore, tmp_path: Path) -> Iterator[Crawl]:
    store.ensure_bucket()
    with tempfile.TemporaryDirectory(prefix="yq-") as short:  # pytest's own is too long for Chromium's socket
        yield Crawl(environment, tmp_path / "sites", store, Path(short))
