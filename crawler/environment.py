"""${NAME} in a site's headers, cookies and proxies, filled in from the environment before anything is fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from yuqing.site_files import SiteError
from yuqing.sites import Site

_NAME = re.compile(r"\$\{([^}]*)\}")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")  # in a header's value (RFC 9110, 5.5)


def with_environment(site: Site, environment: Mapping[str, str] = os.environ) -> Site:
    """The site with the values of the variables that it names.

    Raises SiteError with file, field, variable and cure for a variable that is missing, and for a value that cannot be
    what it is used for; no message holds a value.
    """
    problems: list[str] = []
    missing: list[str] = []

    def fill(field: str, value: str) -> str:
        names = _NAME.findall(value)
        lacking = [name for name in names if not environment.get(name)]
        missing.extend(lacking)
        problems.extend(f"{_where(site)}{field}: ${{{name}}} is not in the environment" for name in lacking)
        filled = _NAME.sub(lambda found: environment.get(found[1], ""), value)
        if names and not lacking:
            problems.extend(f"{_where(site)}{field}: {reason}" for reason in _objections(field, filled, names))
        return filled

    headers = {name: fill(f"headers.{name}", value) for name, value in site.headers.items()}
    cookies = {name: fill(f"cookies.{name}", value) for name, value in site.cookies.items()}
    proxies = tuple(fill(f"proxies.{number}", value) for number, value in enumerate(site.proxies))
    if missing:
        raise SiteError(
            "\n".join(problems),
            cure=f"set {', '.join(dict.fromkeys(missing))} where the crawler runs, or mend the file",
        )
    if problems:
        raise SiteError("\n".join(problems), cure="correct the variable's value")
    return site.model_copy(update={"headers": headers, "cookies": cookies, "proxies": proxies})


def _where(site: Site) -> str:
    return f"{site.file}: " if site.file else f"site {site.name}: "


def _objections(field: str, value: str, names: list[str]) -> Iterator[str]:
    what = ", ".join(names)
    unfit = {"headers": not value.isascii(), "cookies": ";" in value}
    if _FORBIDDEN.search(value) or unfit.get(field.partition(".")[0]):
        yield f"the value of {what} has characters that do not belong there"
    elif field.startswith("proxies."):
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            yield f"the value of {what} is no proxy's address, such as http://user:password@proxy.example.cn:3128"
