"""The newsroom, started once a session, and everything that can be fetched from it."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from examples.newsroom import running


@pytest.fixture(scope="session")
def newsroom() -> Iterator[dict[str, str]]:
    """The base URLs of a running newsroom."""
    with running() as base_urls:
        yield base_urls


def fetch_all(base_urls: dict[str, str]) -> dict[str, httpx.Response]:
    """{address without its query: response} of everything that links, feeds, sitemaps and the tech site's data lead to."""
    media = {name: base_urls[name] for name in ("finance", "portal", "tech")}
    waiting = [f"{base}{path}" for base in media.values() for path in ("/", "/robots.txt")]
    waiting += [f"{media['portal']}/sitemap_index.xml", f"{media['tech']}/api/list/1"]
    responses: dict[str, httpx.Response] = {}
    with httpx.Client() as client:
        while waiting:
            url = waiting.pop().partition("?")[0].partition("#")[0]
            if url in responses or "{0.scheme}://{0.netloc}".format(urlsplit(url)) not in media.values():
                continue
            response = responses[url] = client.get(url)
            if response.headers.get("content-type", "").partition("/")[0] in ("audio", "video"):
                continue
            text = response.content.decode("gb18030" if url.startswith(media["finance"]) else "utf-8", "replace")
            links = re.findall(r'(?:href|src)="([^"]+)"|<(?:loc|link)>([^<]+)<|"(?:url|more)":"([^"]+)"', text)
            waiting += [urljoin(url, next(filter(None, link))) for link in links]
            waiting += [f"{media['tech']}/api/post/{number}" for number in re.findall(r'"/p/(\d+)"', text)]
            waiting += [f"{media['tech']}/api/list/{number}" for number in re.findall(r'"/list/(\d+)"', text)]
            if "location" in response.headers:
                waiting.append(response.headers["location"])
    return responses


@pytest.fixture(scope="session")
def everything(newsroom: dict[str, str]) -> dict[str, httpx.Response]:
    """What a visitor finds who follows every link of all three media."""
    return fetch_all(newsroom)
