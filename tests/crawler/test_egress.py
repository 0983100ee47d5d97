"""Connections go to addresses that were checked: every notation, every answer of the name service, every redirect."""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.egress import CheckedTransport, Egress, RefusedAddress, kind, literal
from tests.crawler.conftest import Answer, WebServer

NEVER = {
    "169.254.169.254": "link-local",
    "http://[fe80::1%eth0]/": "link-local",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "fd00:ec2::254": "metadata",
    "::ffff:100.100.100.200": "metadata",
    "0.0.0.0": "unspecified",
    "::": "unspecified",
    "0.1.2.3": "reserved",
    "192.0.0.8": "reserved",
    "192.0.2.1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    "fec0::1": "reserved",
    "2001:db8::1": "reserved",
    "2001:0:53aa:64c:0:7f8a:3f57:fefe": "reserved",  # Teredo
    "64:ff9b:1::1": "reserved",
    "::7f00:1": "reserved",  # IPv4-compatible, deprecated
    "64:ff9b::a9fe:a9fe": "link-local",
    "2002:a9fe:a9fe::1": "link-local",
}
WHEN_ALLOWED = {
    "127.0.0.1": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "2002:7f00:1::": "loopback",
    "2a00:1450::5efe:10.0.0.1": "private",  # ISATAP
    "10.1.2.3": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "198.18.0.1": "private",
    "fc00::1": "private",
    "fd12:3456::1": "private",
}
PUBLIC = ("1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1")
# What a browser, inet_aton or IDNA reads as 127.0.0.1, 10.0.0.1 or 169.254.169.254.
NOTATIONS = (
    "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "１２７．０．０．１", "127。0。0。1",
    "①②⑦.0.0.1", "0xA.0.0.1", "012.1", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
)  # fmt: skip


def named(*answers: Sequence[str]) -> tuple[Egress, list[str]]:
    """A policy for public addresses whose resolver gives one answer after the other, and the names it was asked for."""
    asked: list[str] = []
    left = list(answers)

    async def resolver(host: str) -> Sequence[str]:
        asked.append(host)
        return left.pop(0)

    return Egress(allow_private=False, resolver=resolver), asked


@pytest.mark.parametrize(("address", "what"), [*NEVER.items(), *WHEN_ALLOWED.items()])
def test_addresses_that_are_not_public(address: str, what: str) -> None:
    host = httpx.URL(address).host if address.startswith("http") else address
    assert kind(ipaddress.ip_address(host.partition("%")[0])) == what
    with pytest.raises(RefusedAddress, match=what):
        asyncio.run(Egress(allow_private=False).addresses(host))
    with pytest.raises(RefusedAddress, match=what):  # as the answer for a name
        asyncio.run(named([host])[0].addresses("www.example.cn"))
    allowing = Egress(allow_private=True)
    if address in WHEN_ALLOWED:
        assert asyncio.run(allowing.addresses(host)) == [str(ipaddress.ip_address(host))]
    else:
        with pytest.raises(RefusedAddress):
            asyncio.run(allowing.addresses(host))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert kind(ipaddress.ip_address(address)) == "public"
    egress, asked = named()
    assert [ipaddress.ip_address(each) for each in asyncio.run(egress.addresses(address))] == [
        ipaddress.ip_address(address)
    ]
    assert not asked


@pytest.mark.parametrize("host", NOTATIONS)
def test_odd_notations(host: str) -> None:
    egress, asked = named()
    with pytest.raises(RefusedAddress):
        asyncio.run(egress.addresses(host))
    with pytest.raises(RefusedAddress):
        asyncio.run(egress.check_target(host))
    assert not asked


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(("{0}", "0x{0:x}", "0{0:o}", "{1}.{2}.{3}.{4}", "0x{1:x}.{2}.0{5:o}"))
)
def test_a_number_in_any_base_is_its_address(value: int, notation: str) -> None:
    parts = value.to_bytes(4, "big")
    address = literal(notation.format(value, *parts, value & 0xFFFF))
    assert address is not None and int(address) == value


@pytest.mark.parametrize("host", ["1.2.3.4.5", "256.1.1.1", "foo.0x1", "example.09", "1.2.3.4.0x"])
def test_what_ends_in_a_number_without_being_an_address(host: str) -> None:
    with pytest.raises(RefusedAddress):
        asyncio.run(named()[0].addresses(host))


@pytest.mark.parametrize("host", ["a.cn", "163.com", "1.example", "xn--fiqs8s", "0xyz", "中国.cn"])
def test_names(host: str) -> None:
    assert literal(host) is None


def test_one_private_answer_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(RefusedAddress, match=r"a\.cn is at 10\.0\.0\.1, a private address; allow_private_addresses"):
        asyncio.run(named(["1.1.1.1", "10.0.0.1"])[0].addresses("a.cn"))
    with pytest.raises(OSError, match="no address"):
        asyncio.run(named([])[0].addresses("a.cn"))


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """Rebinding: the second answer is private. It is not used, and once it is asked for it is refused."""

    async def scenario() -> None:
        egress, asked = named(["1.1.1.1", "1.0.0.1"], ["127.0.0.1"])
        tried: list[str] = []

        async def connect(address: str) -> str:
            tried.append(address)
            if address == "1.1.1.1":
                raise ConnectionRefusedError
            return address

        assert await egress.connect("a.cn", connect) == "1.0.0.1"
        assert tried == ["1.1.1.1", "1.0.0.1"] and asked == ["a.cn"]
        egress._remembered.clear()
        with pytest.raises(RefusedAddress):
            await egress.connect("a.cn", connect)
        assert tried == ["1.1.1.1", "1.0.0.1"]

    asyncio.run(scenario())


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    async def scenario() -> str:
        async def connect(address: str) -> str:
            if address == "1.1.1.1":
                await asyncio.sleep(60)
            return address

        return await named(["1.1.1.1", "1.0.0.1"])[0].connect("a.cn", connect, 0.2)

    assert asyncio.run(scenario()) == "1.0.0.1"


def test_proxied_targets_are_checked_as_far_as_they_can_be() -> None:
    async def unknown(host: str) -> Sequence[str]:
        raise OSError("no name service here")

    async def scenario() -> None:
        egress = Egress(allow_private=False, resolver=unknown)
        await egress.check_target("www.example.cn")
        await egress.check_target("1.1.1.1")
        for host in ("localhost", "a.localhost", "metadata.google.internal", "127.0.0.1", "[::1]", "010.8.8.8"):
            with pytest.raises(RefusedAddress):
                await egress.check_target(host)
        with pytest.raises(RefusedAddress):
            await named(["192.168.0.1"])[0].check_target("www.example.cn")
        await Egress(allow_private=True, resolver=unknown).check_target("localhost")

    asyncio.run(scenario())


def test_httpx_connects_to_checked_addresses_only(web: WebServer) -> None:
    """The port and the Host header are the URL's, the address is the resolver's; redirects are checked like all else."""
    port = httpx.URL(web.url).port
    web.answers["/a"] = Answer("a recording")
    web.answers["/away"] = Answer(status=302, headers={"Location": f"http://127.0.0.1:{port}/a"})

    async def local(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    class Public(Egress):
        """Takes the name for public, so that only the way to it is tried here."""

        async def addresses(self, host: str) -> Sequence[str]:
            return await local(host) if host == "public.example.cn" else await super().addresses(host)

    async def get(egress: Egress, url: str, **options: str) -> httpx.Response:
        transport = CheckedTransport(egress, verify=False, **options)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            return await client.get(url)

    public = Public(allow_private=False)
    assert asyncio.run(get(public, f"http://public.example.cn:{port}/a")).text == "a recording"
    for url in (f"http://public.example.cn:{port}/away", f"{web.url}/a", f"http://localhost:{port}/a"):
        with pytest.raises(RefusedAddress):
            asyncio.run(get(public, url))
    assert web.asked == {"/a": 1, "/away": 1}
    assert asyncio.run(get(Egress(allow_private=True), f"http://localhost:{port}/away")).text == "a recording"
    # The operator's proxy may be anywhere; what it is asked for may not.
    with pytest.raises(RefusedAddress):
        asyncio.run(get(public, "http://10.0.0.1/a", proxy=web.url))
    with pytest.raises(httpx.ConnectError):
        asyncio.run(get(public, "http://public.example.cn:1/a"))


def test_tls_asks_for_the_name_not_for_the_address() -> None:
    names: list[str] = []

    async def scenario() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = lambda _socket, name, _context: names.append(name or "")
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]

        async def local(host: str) -> Sequence[str]:
            return ["127.0.0.1"]

        transport = CheckedTransport(Egress(allow_private=True, resolver=local), verify=False)
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx.ConnectError):  # the server has no certificate
                await client.get(f"https://www.example.cn:{port}/")
        server.close()

    asyncio.run(scenario())
    assert names == ["www.example.cn"]
