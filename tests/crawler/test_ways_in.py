"""Every way by which a public page could lead the crawler to a private address: none gets there.

The crawl runs with name service and addresses of this test's own: 127.0.0.2 counts as public, 127.0.0.1 is what it is.
"""

import datetime
import re
import socket
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


@pytest.mark.parametrize("obey_robots", [True, False])
def test_pages_robots_feeds_sitemaps_and_redirects(
    crawl: Crawl, public: WebServer, private: WebServer, obey_robots: bool
) -> None:
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
    ]
    rebinding = f"http://rebinding.test:{ports[0]}/a/rebinding"
    robots = WebServer("127.0.0.2")
    robots.answers["/robots.txt"] = Answer(status=302, headers={"Location": f"{secret}/robots.txt", **closing})
    public.hub(["/a/1", "/a/away", "/a/far", *ways, rebinding, f"{robots.url.replace('127.0.0.2', 'public.test')}/a/2"])
    public.answers["/robots.txt"] = Answer(status=404, headers=closing)
    sound = f"http://127.0.0.1:{ports[1]}/sound.mp3"
    public.article("/a/1", extra=f'<meta property="og:audio" content="{sound}"><audio src="/away.mp3"></audio>')
    public.answers["/away.mp3"] = Answer(status=302, headers={"Location": f"{secret}/sound.mp3"})
    public.answers["/a/away"] = Answer(status=302, headers={"Location": f"{secret}/a/away"})
    public.answers["/a/far"] = Answer(status=301, headers={"Location": f"http://169.254.169.254:{ports[1]}/a/far"})
    public.answers["/a/rebinding"] = Answer("<p>rebound</p>", headers=closing)
    crawl.define(
        public.site(
            start_urls=[f"{base}/"],
            articles=["http://.*/a/.+"],
            feeds=[f"{secret}/feed.xml"],
            sitemaps=[f"http://0x7f.0.0.1:{ports[1]}/sitemap.xml"],
            obey_robots=obey_robots,
            allow_private_addresses=False,
        )
    )
    totals = crawl.run("local")
    robots.close()
    assert not private.asked
    # The name's first answer is public. That is where robots.txt or else the page is asked for; the next one is refused.
    assert public.asked["/a/rebinding"] == (not obey_robots)
    pages = {f"{base}/a/1"} if obey_robots else {f"{base}/a/1", rebinding}
    assert {document.url for document in crawl.documents()} == pages
    report = totals["sites"][0]
    refused = {error["url"] for error in report["errors"] if "address" in error["reason"]}
    assert refused >= {*ways, sound, f"{secret}/feed.xml", f"{base}/a/away", f"{base}/a/far", f"{base}/away.mp3"}
    # Three literals among the ways, the sitemap and the redirect to the last. With robots.txt: the page that is rebound,
    # robots.txt of the two private names, and of the host that redirects it. Without: two ways, the feed, a redirect.
    # And one recording, or two.
    assert report["refused_addresses"] == 3 + 2 + 4 + (1 if obey_robots else 2)


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


# What a page in Chromium can try: {0} is the private server, {1} the name of the host that is rebound, {2} a UDP port.
ATTEMPTS = """<html><head>
<link rel="dns-prefetch" href="{0}"><link rel="preconnect" href="{0}"><link rel="prefetch" href="{0}/prefetch">
<link rel="stylesheet" href="{0}/style.css"><script src="{0}/script.js"></script></head>
<body><iframe src="{0}/frame"></iframe><iframe src="/redirect"></iframe><iframe src="file:///etc/hostname"></iframe>
<img src="{0}/image"><object data="{0}/object"></object><video src="{0}/video" autoplay></video>
<form id="form" action="{0}/form" method="post" target="posted"></form><iframe name="posted"></iframe><script>
const base = "{0}", tried = [];
const attempt = (name, made) => tried.push(Promise.resolve().then(made).then(() => name + ": through", () => name));
const socket = (url) => new Promise((through, away) => {{
  const made = new WebSocket(url); made.onopen = through; made.onerror = away;
}});
attempt("fetch", () => fetch(base + "/fetch", {{mode: "no-cors"}}).then((answer) => answer.text()).then(() => {{throw 0}}));
attempt("redirected", () => fetch("/redirect"));
attempt("rebound", () => fetch("{1}/rebound").then((answer) => answer.ok || Promise.reject()));
attempt("mapped", () => fetch("http://[::ffff:7f00:1]:" + new URL(base).port + "/mapped"));
attempt("beacon", () => {{ navigator.sendBeacon(base + "/beacon"); throw 0; }});
attempt("websocket", () => socket(base.replace("http", "ws") + "/socket"));
attempt("events", () => new Promise((through, away) => {{
  const made = new EventSource(base + "/events"); made.onopen = through; made.onerror = away;
}}));
attempt("worker", () => new Promise((through, away) => {{
  const code = `fetch("${{base}}/worker", {{mode: "no-cors"}}).catch(() => 0).then(() => postMessage(0))`;
  const worker = new Worker(URL.createObjectURL(new Blob([code]))); worker.onmessage = away; worker.onerror = away;
}}));
attempt("webtransport", () => new WebTransport("https://127.0.0.1:{2}/").ready);
attempt("webrtc", async () => {{
  const peer = new RTCPeerConnection({{iceServers: [{{urls: "stun:127.0.0.1:{2}"}}]}});
  peer.createDataChannel("x"); await peer.setLocalDescription(await peer.createOffer());
  await new Promise((done) => {{ peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done();
    setTimeout(done, 2000); }});
  throw 0;
}});
attempt("popup", () => {{ window.open(base + "/popup"); throw 0; }});
attempt("form", () => {{ document.getElementById("form").submit(); throw 0; }});
Promise.all(tried).then((names) => {{
  document.body.append(Object.assign(document.createElement("p"), {{id: "tried", textContent: names.join(", ")}}));
}});
</script></body></html>"""


def test_what_chromium_loads(crawl: Crawl, public: WebServer, private: WebServer) -> None:
    """Sub-requests, redirects within them, websockets, workers, WebRTC; then pages that are, or lead to, private ones."""
    crawl.program = ("-c", PROGRAM)
    ports = public.url.rpartition(":")[2], private.url.rpartition(":")[2]
    base, secret = f"http://public.test:{ports[0]}", f"http://private.test:{ports[1]}"
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.settimeout(0.1)
    udp = datagrams.getsockname()[1]
    public.hub(["/a/name", "/a/literal", "/a/leads", "/a/scripted", f"{secret}/a/page"])
    rebinding = f"http://rebinding.test:{ports[0]}"
    public.answers["/a/name"] = Answer(ATTEMPTS.format(secret, rebinding, udp))
    public.answers["/a/literal"] = Answer(ATTEMPTS.format(private.url, rebinding, udp))
    public.answers["/redirect"] = Answer(status=302, headers={"Location": f"{secret}/redirected"})
    public.answers["/a/leads"] = Answer(status=302, headers={"Location": f"{secret}/a/leads"})
    public.answers["/a/scripted"] = Answer(f"<script>location = '{secret}/a/scripted'</script>")
    public.answers["/rebound"] = Answer("rebound", headers={"Connection": "close", "Access-Control-Allow-Origin": "*"})
    rule = {"urls": "http://.*/a/(name|literal)$", "wait_for": "#tried"}
    others = {"urls": "http://.*/a/", "wait_for": "#never"}
    crawl.define(
        public.site(
            start_urls=[f"{base}/"],
            articles=["http://.*/a/.+"],
            browser=[rule, others],
            allow_private_addresses=False,
            concurrency=1,
        )
    )
    totals = crawl.run("local", retries="0", browser_wait_s="10")
    documents = {document.url: document.body for document in crawl.documents()}
    assert set(documents) == {f"{base}/a/name", f"{base}/a/literal"}
    tried = re.findall(r'<p id="tried">(.*?)</p>', "".join(documents.values()))
    # The name's first answer was public. That is where the first page's request went, and no other has come through.
    through = sorted(re.findall(r"(\w+): through", " ".join(tried)))
    assert through == ["rebound"]
    assert public.asked["/rebound"] == 1
    assert all(found.count(",") == 11 for found in tried)
    assert not private.asked
    with pytest.raises(TimeoutError):
        datagrams.recv(2048)
    datagrams.close()
    report = totals["sites"][0]
    refused = {
        error["url"] for error in report["errors"] if "private" in error["reason"] or "loopback" in error["reason"]
    }
    assert refused >= {f"{base}/a/leads", f"{base}/a/scripted", f"{secret}/a/page"}
    assert report["refused_addresses"] > 20


def test_chromium_loads_private_addresses_where_the_site_allows_them(
    crawl: Crawl, public: WebServer, private: WebServer
) -> None:
    """Also beside a site that does not: a browser has one policy. The control for the attempts above: they can succeed."""
    crawl.program = ("-c", PROGRAM)
    ports = public.url.rpartition(":")[2], private.url.rpartition(":")[2]
    base, secret = f"http://public.test:{ports[0]}", f"http://private.test:{ports[1]}"
    for server in (public, private):
        server.hub([f"/a/{number}" for number in range(3)])
        for number in range(3):
            server.answers[f"/a/{number}"] = Answer(ATTEMPTS.format(secret, "http://rebinding.test:1", 9))
    rule = {"urls": "http://.*/a/", "wait_for": "#tried"}
    common = {"articles": ["http://.*/a/.+"], "browser": [rule], "concurrency": 1}
    crawl.define(
        public.site(name="public", start_urls=[f"{base}/"], allow_private_addresses=False, **common),
        private.site(name="intranet", start_urls=[f"{secret}/"], **common),
    )
    totals = crawl.run("--all", browser_wait_s="10", browsers="1")
    assert totals["crawled"] == 6
    asked = {path for path in private.asked if not path.startswith("/a/")}
    assert asked >= {"/", "/fetch", "/frame", "/script.js", "/style.css", "/events", "/worker", "/socket"}
    assert private.asked["/fetch"] == 3
    assert asked.isdisjoint({"/image", "/popup"})
    refusals = {report["site"]: report["refused_addresses"] for report in totals["sites"]}
    assert refusals["public"] > 0
    assert refusals["intranet"] == 0


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
