"""The kinds of values that a site's file holds, each checked as it is read: addresses, patterns, selectors, headers, schedules."""

from __future__ import annotations

import codecs
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import jmespath
from croniter import croniter
from cssselect import FunctionalPseudoElement, HTMLTranslator, SelectorError
from cssselect import parse as parse_css
from lxml import etree
from pydantic import AfterValidator


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(each.isspace() for each in value):
        raise ValueError("not a complete http(s) address; write it as https://www.example.cn/path")
    _port(parts)
    return value


def _port(parts: SplitResult) -> None:
    try:
        good = parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("its port is none; ports are numbers from 1 to 65535")


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"not a regular expression: {problem}") from problem
    return value


def _address_pattern(value: str) -> str:
    _regular_expression(value)
    if not value.lstrip("^(").startswith(("http", ".*")):
        raise ValueError(r"must match from the scheme on; begin it as in https?://www\.example\.cn/news/\d+")
    return value


def _charset(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError as problem:
        raise ValueError("an unknown charset; common ones are utf-8, gb18030 and big5") from problem


def _json_path(value: str) -> str:
    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as problem:
        reason = " ".join(str(problem).split())
        raise ValueError(f"not a JMESPath expression (write it as in data.list[*]): {reason}") from problem
    return value


def _selector(value: str) -> str:
    """What the crawler reads a text with: JSON path, XPath, or CSS with parsel's ::text and ::attr(name)."""
    if value.startswith(JSON_PREFIX):
        _json_path(value.removeprefix(JSON_PREFIX))
    elif value.startswith("/"):
        _xpath(value)
    else:
        _css(value, texts=True)
    return value


def _markup_selector(value: str) -> str:
    if value.startswith(JSON_PREFIX):
        raise ValueError("a text is selected from markup; give a CSS selector or an XPath that begins with /")
    return _xpath(value) if value.startswith("/") else _css(value)


def _xpath(value: str) -> str:
    try:
        etree.XPath(value)
    except etree.XPathSyntaxError as problem:
        raise ValueError(f"not an XPath: {problem}") from problem
    return value


def _css(value: str, *, texts: bool = False) -> str:
    """Translated as parsel does it, which knows less of CSS than a browser; without `texts` it must select elements."""
    if not value.strip():
        raise ValueError("empty; give a CSS selector, an XPath that begins with /, or json: and a JMESPath")
    try:
        for selector in parse_css(value):
            HTMLTranslator().selector_to_xpath(selector)
            element = selector.pseudo_element
            known = element == "text" or (isinstance(element, FunctionalPseudoElement) and element.name == "attr")
            if element is not None and not (texts and known):
                raise ValueError(
                    "a pseudo-element stands where an element is to be selected; leave out what follows ::"
                )
    except SelectorError as problem:
        raise ValueError(f"not a CSS selector that is known here: {problem}") from problem
    return value


def _browser_selector(value: str) -> str:
    """Chromium knows more of CSS than any library here: only what no browser would take is refused."""
    if not value.strip() or value.lstrip().startswith("/"):
        raise ValueError("not a CSS selector; Chromium is given no XPath")
    expected: list[str] = []
    for part in re.findall(r"""\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[]["'()]""", value, re.DOTALL):
        if part in ("[", "("):
            expected.append({"[": "]", "(": ")"}[part])
        elif part in ("]", ")") and (not expected or expected.pop() != part):
            raise ValueError(f"not a CSS selector: a {part} closes nothing")
        elif part in ('"', "'"):
            raise ValueError(f"not a CSS selector: a {part} is not closed")
    if expected:
        raise ValueError(f"not a CSS selector: a {expected[-1]} is missing")
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValueError("not a header's name (RFC 9110, 5.1): letters, digits and hyphens")
    return value


def _header_value(value: str) -> str:
    if re.search(r"[^\t\x20-\x7e]", value):
        raise ValueError("has characters that a header cannot carry (RFC 9110, 5.5); percent-encode all but ASCII")
    return value


def _cookie_value(value: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f;]", value):
        raise ValueError("has a semicolon or a control character, which a cookie cannot carry; percent-encode it")
    return value


def _cron(value: str) -> str:
    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError("not a cron schedule of five fields, such as */10 * * * *")
    return value


def _proxy(value: str) -> str:
    if not value.startswith(("http://", "https://", "${")):
        raise ValueError(
            "not a proxy's address; write it as http://proxy.example.cn:3128, or ${NAME} to take it from the environment"
        )
    if "${" not in value:  # what the environment fills in is checked then
        _port(urlsplit(value))
    return value


JSON_PREFIX = "json:"

Url = Annotated[str, AfterValidator(_http_url)]
AddressPattern = Annotated[str, AfterValidator(_address_pattern)]
Charset = Annotated[str, AfterValidator(_charset)]
JsonPath = Annotated[str, AfterValidator(_json_path)]
Selector = Annotated[str, AfterValidator(_selector)]
MarkupSelector = Annotated[str, AfterValidator(_markup_selector)]
CssSelector = Annotated[str, AfterValidator(_css)]
BrowserSelector = Annotated[str, AfterValidator(_browser_selector)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
CookieValue = Annotated[str, AfterValidator(_cookie_value)]
Cron = Annotated[str, AfterValidator(_cron)]
Proxy = Annotated[str, AfterValidator(_proxy)]
