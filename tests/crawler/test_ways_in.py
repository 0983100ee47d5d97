"""Every way by which a public page could lead the crawler to a private address: none gets there.

The crawl runs with name service and addresses of this test's own: 127.0.0.2 counts as public, 127.0.0.1 is what it is.
"""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.crawler.conftest import Answer, Crawl, WebServer

pytestmark = pytest.mark.service

PROGRAM = """
import socket, sys
from crawler import egress
known = egress.kind
egress.kind = lambda address: "public" if str(address) == "127.0.0.2" else known(address)
egress.REMEMBERED_S = -1  # every connection asks anew
answers = {"public.test": ["127.0.0.2"], "private.test": ["127.0.0.1"], "mixed.test": ["127.0.0.2", "127.0.0.1"]}
asked = []
async def resolve(host):
    asked.append(host)
    if host == "rebinding.test":
        return ["127.0.0.2" if asked.count(host) == 1 else "127.0.0.1"]
    if host in answers:
        return answers[host]
    raise socket.gaierror(socket.EAI_NONAME, "unknown here")
egress.Egress.__init__.__kwdefaults__["resolver"] = resolve
from yuqing.cli import main
main()
"""


@pytest.fixture
def public() -> Iterator[WebServer]:
    server = WebServer("127.0.0.2")
    yield server
    server.close()


@pytest.fixture
def private(web: WebServer) -> WebServer:
    """Answers everything and writes down who came."""
    return web


def test_pages_robots_feeds_sitemaps_and_redirects(crawl: Crawl, public: WebServer, private: WebServer) -> None:
    crawl.program = ("-c", PROGRAM)
    ports = public.url.rpartition(":")[2], private.url.rpartition(":")[2]
    base, secret = f"http://public.test:{ports[0]}", f"http://private.test:{ports[1]}"
    closing = {"Content-Type": "text/html", "Connection": "close"}
    ways = [
        f"http://127.0.0.1:{ports[1]}/a/literal",
        f"http://[::ffff:127.0.0.1]:{ports[1]}/a/mapped",
        f"http://2130706433:{ports[1]}/a/decimal",
        f"{secret}/a/name",
        f"http://mixed.test:{ports[1]}/a/mixed",
        f"http://rebinding.test:{ports[0]}/a/rebinding",
    ]
    public.hub(["/a/1", "/a/away", "/a/far", *ways])
    public.answers["/robots.txt"] = Answer(status=302, headers={"Location": f"{secret}/robots.txt", **closing})
    public.article("/a/1")
    public.answers["/a/away"] = Answer(status=302, headers={"Location": f"{secret}/a/away"})
    public.answers["/a/far"] = Answer(status=301, headers={"Location": f"http://169.254.169.254:{ports[1]}/a/far"})
    public.answers["/a/rebinding"] = Answer("<p>rebound</p>", headers=closing)
    crawl.define(
        public.site(
            start_urls=[f"{base}/"],
            articles=["http://.*/a/.+"],
            feeds=[f"{secret}/feed.xml"],
            sitemaps=[f"http://0x7f.0.0.1:{ports[1]}/sitemap.xml"],
            allow_private_addresses=False,
        )
    )
    totals = crawl.run("local")
    assert [document.url for document in crawl.documents()] == [f"{base}/a/1"]
    assert not private.asked
    # rebinding.test is asked for robots.txt, at the public address; the page would have been at the private one.
    assert public.asked["/a/rebinding"] == 0
    report = totals["sites"][0]
    refused = {error["url"] for error in report["errors"] if "address" in error["reason"]}
    assert {*ways, f"{secret}/feed.xml", f"{secret}/a/away", f"http://169.254.169.254:{ports[1]}/a/far"} <= refused
    # Those, the sitemap, and robots.txt of public.test, rebinding.test, private.test and mixed.test.
    assert report["refused_addresses"] == len(ways) + 4 + 4


def test_tls_goes_to_the_checked_address_with_the_urls_name(crawl: Crawl, public: WebServer, tmp_path: Path) -> None:
    crawl.program = ("-c", PROGRAM)
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "server.pem"))
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    public.secure(context)
    base = f"https://public.test:{public.url.rpartition(':')[2]}"
    public.hub(["/a/1", "/a/2"])
    public.article("/a/1")
    public.article("/a/2")
    crawl.define(
        public.site(start_urls=[f"{base}/"], articles=["https://public.*/a/.+"], allow_private_addresses=False)
    )
    crawl.run("local")
    assert {document.url for document in crawl.documents()} == {f"{base}/a/1", f"{base}/a/2"}
    assert set(names) == {"public.test"}


def self_signed(path: Path) -> Path:
    """A certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "public.test")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path
