"""One page, one address: what distinguishes pages is kept, what only says how a reader came there is taken away."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import xxhash

if TYPE_CHECKING:
    from yuqing.sites import Site

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3
_PATH = _UNRESERVED | frozenset("!$&'()*+,;=:@/")  # RFC 3986, 3.3
_QUERY = _PATH | frozenset("?")  # RFC 3986, 3.4
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_SESSION_IN_PATH = re.compile(r";jsessionid=[^/;]*", re.IGNORECASE)
_ID_NAME = re.compile("(?:id|no|key|code)$", re.IGNORECASE)
_ID_VALUE = re.compile(r"[0-9]{4}|[\w-]{16}")
_REWRITES = 8  # times that a site's rules are gone through; a mobile page on an old host over http needs three
# Fragments are noise, except where a page's script reads its article's address from them (#/article/1, #!article/1).
_ROUTE_FRAGMENT = ("/", "!")


@lru_cache(maxsize=1)
def tracking_parameters() -> tuple[frozenset[str], tuple[str, ...]]:
    """The maintained list: (names, prefixes), in lower case."""
    text = (files("crawler") / "data" / "tracking_parameters.txt").read_text(encoding="utf-8")
    lines = [line.strip().lower() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    names = frozenset(line for line in lines if not line.endswith("*"))
    return names, tuple(line[:-1] for line in lines if line.endswith("*"))


def canonicalise(url: str, keep_parameters: Collection[str] = ()) -> str:
    """The canonical form of an http(s) address; canonicalise(canonicalise(u)) == canonicalise(u).

    Scheme and host in lower case, the host in its ASCII form, no default port, no user name, no dot segments, no
    fragment (but for a script's route), escapes in upper case and only where needed, parameters in the order of their
    names and without those of data/tracking_parameters.txt that are not in `keep_parameters`. An escape of a reserved
    character is never resolved and empty values stay, so different pages do not merge.

    Raises ValueError for anything that is not an http(s) address with a host.
    """
    parts = urlsplit(url.strip(" \t\r\n\f\0"))
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an http(s) address: {url!r}")
    host = _host(parts.hostname)
    port = parts.port
    authority = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    path = _remove_dot_segments(_SESSION_IN_PATH.sub("", _escapes(parts.path, _PATH))) or "/"
    query = "&".join(_parameters(parts.query, {name.lower() for name in keep_parameters}))
    fragment = parts.fragment if parts.fragment.startswith(_ROUTE_FRAGMENT) else ""
    return (
        f"{scheme}://{authority}{path}"
        + (f"?{query}" if query else "")
        + (f"#{_escapes(fragment, _QUERY)}" if fragment else "")
    )


def site_address(site: Site, url: str) -> str:
    """The canonical form of an address at this site: what identifies a page in records and in the seen sets.

    canonicalise() with the site's `keep_parameters`, and then its `rewrite` rules, so that the mobile page and the
    desktop page are one. site_address(site, site_address(site, u)) == site_address(site, u). Raises ValueError as
    canonicalise() does.
    """
    canonical = canonicalise(url, site.keep_parameters)
    if not site.rewrite:
        return canonical
    address = canonical
    for _ in range(_REWRITES):
        rewritten = canonicalise(_rewrite_once(site, address), site.keep_parameters)
        if rewritten == address:
            return address
        address = rewritten
    return canonical  # rules that lead in a circle, or never end, are as good as none


def request_address(site: Site, url: str) -> str:
    """Where a page is asked for: the address after the site's `rewrite` rules, with the parameters that it came with.

    What is mere noise to us may be what a server wants; so only the identity (see site_address) goes without it.
    """
    address = url
    for _ in range(_REWRITES):
        rewritten = _rewrite_once(site, address)
        if rewritten == address:
            return address
        address = rewritten
    return url


def join(base: str, link: str) -> str | None:
    """The absolute http(s) address of a link found on a page, or None when it is none (mailto:, broken, ...)."""
    try:
        url = urljoin(base, link.strip())
        url.encode()  # half a character, which JSON can hold, has no bytes that could be sent
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return None
        _host(parts.hostname), parts.port  # both raise ValueError for what canonicalise() refuses
        return url
    except ValueError:
        return None


def drops_identity(address: str, canonical: str) -> bool:
    """Whether a page's canonical address, as it declares it, is its own without a parameter that may say which page it is.

    Templates often declare /detail on every /detail?id=7: believed, all articles of the site would be one. A parameter
    counts when its name is one of ids (id, newsid, doc_no, ...) or its value looks like one: four digits, as in numbers
    of articles and dates, or sixteen characters of a random key. print=1 and from=app do neither. To take noise for an
    identity costs a page that is kept twice, the opposite mistake loses pages. Both addresses in their canonical form.
    """
    own, declared = urlsplit(address), urlsplit(canonical)
    if own[:3] != declared[:3] or own.query == declared.query:
        return False
    left = set(declared.query.split("&")) - {""}
    pairs = set(own.query.split("&"))
    return left <= pairs and any(
        _ID_NAME.search(pair.partition("=")[0]) or _ID_VALUE.search(pair.partition("=")[2]) for pair in pairs - left
    )


def url_hash(canonical_url: str) -> int:
    """xxh64 of a canonical address, as the seen sets hold it; 10 million collide with probability 2.7e-6 (n²/2^65)."""
    return xxhash.xxh64_intdigest(canonical_url.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)  # re's own cache holds 512, which two hundred sites' rules overflow


def _rewrite_once(site: Site, address: str) -> str:
    """Each rule once, in their order; what follows the part that a rule matches stays."""
    for rule in site.rewrite:
        if match := _compiled(rule.match).match(address):
            address = match.expand(rule.to) + address[match.end() :]
    return address


def _host(host: str) -> str:
    host = host.lower().rstrip(".")
    if ":" in host:
        return f"[{host}]"
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError as problem:
            raise ValueError(f"not a host name: {host!r}") from problem
    if not host:
        raise ValueError("an address without a host")
    return host


def _escapes(text: str, allowed: frozenset[str]) -> str:
    """Resolve escapes of unreserved characters, escape what must be, and write escapes in upper case."""
    if not text or ("%" not in text and allowed.issuperset(text)):
        return text
    result: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == "%" and (match := _ESCAPE.match(text, position)):
            resolved = chr(int(match[1], 16))
            result.append(resolved if resolved in _UNRESERVED else f"%{match[1].upper()}")
            position += 3
            continue
        if character in allowed:
            result.append(character)
        else:
            result.extend(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        position += 1
    return "".join(result)


def _remove_dot_segments(path: str) -> str:
    """RFC 3986, 5.2.4, for an absolute path."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def _parameters(query: str, keep: Collection[str]) -> Iterator[str]:
    names, prefixes = tracking_parameters()
    pairs: list[tuple[str, str]] = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        name = _escapes(name, _QUERY)
        folded = name.lower()
        noise = (folded in names or folded.startswith(prefixes)) and folded not in keep
        if pair and not noise:
            pairs.append((name, f"{name}{equals}{_escapes(value, _QUERY)}"))
    # Stable: parameters of one name keep their order, which may carry meaning.
    return (pair for _, pair in sorted(pairs, key=lambda item: item[0]))
