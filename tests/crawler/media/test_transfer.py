"""Transfers that break, lie, have no end, or go to where they must not."""

import asyncio
import base64
import gzip
import hashlib
import random
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import brotli
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scrapy import Request
from scrapy.exceptions import DownloadFailedError, DownloadTimeoutError

from crawler.egress import Egress, RefusedAddress
from crawler.media.transfer import Client, Transfer, TransferRefused
from tests.crawler.conftest import Answer, WebServer
from tests.crawler.media.conftest import Ranged
from tests.crawler.proxy_server import local_proxy

BODY = random.Random(1).randbytes(700_000)


def receive(
    url: str | Request, transfer: Transfer, tries: int = 1, *, timeout_s: float = 5, allow_private: bool = True
) -> tuple[int, list[str]]:
    """As Scrapy's retries do it: the last status (0: none) and the reasons of the tries that failed."""

    async def run() -> tuple[int, list[str]]:
        client = Client(Egress(allow_private=allow_private), timeout_s)
        problems = []
        try:
            for _ in range(tries):
                try:
                    request = url if isinstance(url, Request) else Request(url)
                    return (await client.receive(request, transfer)).status, problems
                except (DownloadFailedError, DownloadTimeoutError) as problem:
                    problems.append(str(problem))
            return 0, problems
        finally:
            await client.close()

    return asyncio.run(run())


def transfer(folder: Path, **options: object) -> Transfer:
    return Transfer(folder / "body", **{"limit": 10**6, "seconds": 20, **options})  # type: ignore[arg-type]


def is_whole(one: Transfer, body: bytes = BODY) -> bool:
    assert one.path.read_bytes() == body
    return (one.length, one.head, one.sha256) == (len(body), body[:512], hashlib.sha256(body).hexdigest())


def test_a_transfer_that_breaks_goes_on(web: WebServer, tmp_path: Path) -> None:
    ranged = Ranged(BODY, breaks=[100, 300_000])
    web.answers["/a"] = Answer(behave=ranged.answer)
    one = transfer(tmp_path)
    status, problems = receive(f"{web.url}/a", one, tries=3)
    assert (status, len(problems)) == (200, 2)
    assert ranged.asked == [(None, None), ("bytes=100-", '"1"'), ("bytes=300100-", '"1"')]
    assert is_whole(one)
    assert one.received == len(BODY)


def test_another_version_in_between_begins_anew(web: WebServer, tmp_path: Path) -> None:
    ranged = Ranged(b"old" * 1000, breaks=[1000])
    web.answers["/a"] = Answer(behave=ranged.answer)
    one = transfer(tmp_path)
    assert receive(f"{web.url}/a", one)[0] == 0
    ranged.body, ranged.etag = BODY, '"2"'
    assert receive(f"{web.url}/a", one)[0] == 200
    assert is_whole(one)


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_validator_it_begins_anew(web: WebServer, tmp_path: Path, etag: str | None) -> None:
    ranged = Ranged(BODY, breaks=[1000], etag=etag)
    web.answers["/a"] = Answer(behave=ranged.answer)
    one = transfer(tmp_path)
    assert receive(f"{web.url}/a", one, tries=2)[0] == 200
    assert ranged.asked[1] == (None, None)
    assert is_whole(one)


def test_ranges_that_are_not_those_asked_for(web: WebServer, tmp_path: Path) -> None:
    ranged = Ranged(BODY, breaks=[1000])
    web.answers["/a"] = Answer(behave=ranged.answer)
    one = transfer(tmp_path)
    receive(f"{web.url}/a", one)
    wrong = {"Content-Range": f"bytes 5-9/{len(BODY)}"}
    web.answers["/a"] = Answer(b"wrong", status=206, headers=wrong)
    _, (problem,) = receive(f"{web.url}/a", one)
    assert "another range" in problem
    assert one.length == 0
    web.answers["/a"] = Answer(behave=ranged.answer)
    assert receive(f"{web.url}/a", one)[0] == 200
    # All of it had come, but not the end of the connection: nothing is left to ask for.
    assert receive(f"{web.url}/a", one)[0] == 200
    assert ranged.asked[-1] == (f"bytes={len(BODY)}-", '"1"')
    assert is_whole(one)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_part_of_a_body(web: WebServer, tmp_path: Path, knows_ranges: bool) -> None:
    ranged = Ranged(BODY, breaks=[100])
    web.answers["/a"] = Answer(behave=ranged.answer) if knows_ranges else Answer(BODY, headers={})
    one = transfer(tmp_path, part=(1000, 300_999), limit=300_000)
    assert receive(f"{web.url}/a", one, tries=2)[0] == 200
    assert is_whole(one, BODY[1000:301_000])
    if knows_ranges:
        assert ranged.asked == [("bytes=1000-300999", None), ("bytes=1100-300999", '"1"')]
    beyond = transfer(tmp_path, part=(600_000, 800_000))
    status, (problem,) = receive(f"{web.url}/a", beyond)
    assert (status, "missing" in problem) == (0, True)


def promise(length: int | None, body: bytes) -> Answer:
    """Announce a length, send something, hang up."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return Answer(behave=behave)


def test_lengths_that_are_lies(web: WebServer, tmp_path: Path) -> None:
    web.answers["/short"] = promise(1000, b"x" * 999)
    assert receive(f"{web.url}/short", transfer(tmp_path))[0] == 0
    web.answers["/long"] = promise(10, b"x" * 99)
    one = transfer(tmp_path)
    assert receive(f"{web.url}/long", one)[0] == 200
    assert one.length == 10  # what follows belongs to nobody
    web.answers["/huge"] = promise(10**9, b"x")
    with pytest.raises(TransferRefused, match="larger than 1000000 bytes"):
        receive(f"{web.url}/huge", transfer(tmp_path))
    web.answers["/silent"] = promise(None, b"x" * 1_000_001)
    with pytest.raises(TransferRefused, match="larger than 1000000 bytes"):
        receive(f"{web.url}/silent", transfer(tmp_path))


def test_compressed_bodies(web: WebServer, tmp_path: Path) -> None:
    web.answers["/bomb"] = Answer(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})
    one = transfer(tmp_path)
    with pytest.raises(TransferRefused, match="larger than 1000000 bytes"):
        receive(f"{web.url}/bomb", one)
    assert one.received < 1_100_000, "it is not decompressed much further than it is taken"
    # 150 bytes that would be 50 MB in one piece.
    web.answers["/br"] = Answer(brotli.compress(bytes(50_000_000), quality=5), headers={"Content-Encoding": "br"})
    one = transfer(tmp_path)
    with pytest.raises(TransferRefused, match=r"compressed \(br\)"):
        receive(f"{web.url}/br", one)
    assert one.received == 0
    packed = gzip.compress(BODY)
    for damaged, reason in (
        (packed[:-5], "no end"),
        (packed[:-8] + bytes(8), "damaged"),
        (packed + b"more", "follows"),
    ):
        web.answers["/damaged"] = Answer(damaged, headers={"Content-Encoding": "gzip"})
        _, (problem,) = receive(f"{web.url}/damaged", transfer(tmp_path))
        assert reason in problem
    web.answers["/zip"] = Answer(gzip.compress(BODY), headers={"Content-Encoding": "gzip", "ETag": '"1"'})
    one = transfer(tmp_path)
    assert receive(f"{web.url}/zip", one)[0] == 200
    assert is_whole(one)


def test_streams_without_an_end(web: WebServer, tmp_path: Path) -> None:
    def drip(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        while handler.wfile.write(b"x" * 100):
            handler.wfile.flush()
            stopped.wait(0.1)

    stopped = threading.Event()
    web.answers["/radio"] = Answer(behave=lambda handler: drip(handler, {"icy-name": "radio"}))
    web.answers["/drip"] = Answer(behave=lambda handler: drip(handler, {}))
    web.answers["/slow"] = Answer(behave=lambda handler: drip(handler, {"Content-Length": "100000", "ETag": '"1"'}))
    web.answers["/stall"] = Answer(behave=lambda handler: (drip_head(handler), stopped.wait(20)))  # type: ignore[arg-type,return-value]
    with pytest.raises(TransferRefused, match="live stream"):
        receive(f"{web.url}/radio", transfer(tmp_path))
    for path, final in (("/drip", True), ("/slow", False)):
        with pytest.raises(TransferRefused, match="not whole in 1 s") as caught:
            receive(f"{web.url}{path}", transfer(tmp_path, seconds=1))
        assert caught.value.final is final
    _, (problem,) = receive(f"{web.url}/stall", transfer(tmp_path), timeout_s=0.5)
    assert "no answer for 0.5 s" in problem
    stopped.set()


def drip_head(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()


def test_other_answers_leave_the_file_alone(web: WebServer, tmp_path: Path) -> None:
    web.answers["/moved"] = Answer(status=302, headers={"Location": "/a", "Set-Cookie": "a=1"})
    one = transfer(tmp_path)
    assert receive(f"{web.url}/moved", one)[0] == 302
    assert receive(f"{web.url}/none", one)[0] == 404
    assert not one.path.exists()


def test_addresses_are_checked(web: WebServer, tmp_path: Path) -> None:
    with pytest.raises(RefusedAddress):
        receive(f"{web.url}/a", transfer(tmp_path), allow_private=False)
    assert not web.asked


def test_the_password_of_a_proxy_goes_to_the_proxy_alone(tmp_path: Path) -> None:
    read: list[dict[str, str]] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            read.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *arguments: object) -> None:
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate(tmp_path))
    site.socket = secure.wrap_socket(site.socket, server_side=True)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    secret = "Basic " + base64.b64encode(b"user:secret").decode()
    with local_proxy(wants="user:secret") as proxy:
        for authorization, answered in ((secret, True), ("Basic bm9ib2R5Og==", False)):
            headers = {"Proxy-Authorization": authorization, "Referer": "http://example.cn/"}
            request = Request(f"https://localhost:{site.server_port}/a", headers=headers, meta={"proxy": proxy.url})
            one = transfer(tmp_path)
            status, problems = receive(request, one)
            assert (status == 200, bool(problems)) == (answered, not answered)
    site.shutdown()
    site.server_close()
    assert [headers.get("referer") for headers in read] == ["http://example.cn/"]
    assert not any("proxy-authorization" in headers for headers in read)


def certificate(folder: Path) -> Path:
    """A certificate for localhost with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    path = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return path
