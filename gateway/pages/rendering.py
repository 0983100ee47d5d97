"""Templates, language, theme, and the links and times that the pages show."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.staticfiles import StaticFiles
from starlette.types import Scope as ServerScope

from gateway import sessions
from gateway.auth import Caller, Scope
from gateway.pages import marks
from gateway.pages.formats import Formats, clock, known_zone
from gateway.pages.strings import LANGUAGES, Language, known, translate
from gateway.pages.strings.reasons import told
from gateway.problems import Problem
from gateway.resources import gateway_of

STATIC = Path(__file__).parent / "static"
LANGUAGE_COOKIE, THEME_COOKIE, ZONE_COOKIE = "yuqing_lang", "yuqing_theme", "yuqing_zone"
THEMES = ("auto", "light", "dark")
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True)
class Place:
    """An entry of the navigation, with the string `nav.<name>`, for keys with at least this scope."""

    name: str
    path: str
    scope: Scope = "viewer"


NAVIGATION = (
    Place("overview", "/"),
    Place("search", "/search"),
    Place("companies", "/companies"),
    Place("operations", "/operations", "operator"),
    Place("access", "/access", "admin"),
)


class VersionedFiles(StaticFiles):
    """Static files that browsers keep: their addresses carry their hash."""

    async def get_response(self, path: str, scope: ServerScope) -> Response:
        """The file; for an address with its hash for a year."""
        response = await super().get_response(path, scope)
        if response.status_code == 200 and scope["query_string"].startswith(b"v="):
            response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable"
        return response


class Elsewhere(Exception):
    """Not an error: the answer is a redirect, with cookies to keep."""

    def __init__(self, location: str, cookies: Mapping[str, str] | None = None) -> None:
        super().__init__(location)
        self.location = location
        self.cookies = dict(cookies or {})


class Bounce(Exception):
    """Not an error: a browser keeps a Strict cookie back when the link is on another site; load the page once more."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        hits=marks.hits,
        marked=marks.marked,
        anchor_of=marks.anchor_of,
        external=external,
        holder=holder,
        seconds=clock,
        static=static_url,
    )
    return environment


@cache
def static_url(name: str) -> str:
    """The address of a static file, with its hash, so that browsers keep it until it changes."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def external(url: str | None) -> str | None:
    """A foreign address that may become a link: http and https only."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def holder(actor: str) -> str:
    """The name of the key behind `Caller.actor`; readers have no use for its first characters."""
    return actor.partition(" ")[2] if actor.startswith("key:") and " " in actor else actor


def language_of(request: Request) -> Language:
    """The reader's choice, else the browser's first language that we have, else Chinese."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    wanted = (
        [chosen] if chosen else [part.strip()[:2] for part in request.headers.get("accept-language", "").split(",")]
    )
    first: Language | None = next((language for tag in wanted for language in LANGUAGES if language == tag), None)
    return first or "zh"


def theme_of(request: Request) -> str:
    """auto (the system's), light or dark."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def zone_of(request: Request) -> ZoneInfo:
    """The reader's time zone, which the browser tells in a cookie; the gateway's until then."""
    return known_zone(request.cookies.get(ZONE_COOKIE, "")) or gateway_of(request).zone


def address(request: Request, **changes: object) -> str:
    """This page's address with some query parameters changed; None or "" removes one, and so does an old cursor."""
    parameters = [(name, value) for name, value in parse_qsl(request.url.query) if name not in {"cursor", *changes}]
    parameters += [(name, str(value)) for name, value in changes.items() if value not in (None, "", False)]
    query = urlencode(parameters)
    return f"{request.url.path}?{query}" if query else request.url.path


async def remember_preferences(request: Request) -> None:
    """A dependency of every page: ?lang= and ?theme= become cookies, and the address is cleaned of them."""
    cookies: dict[str, str] = {}
    wanted, theme = request.query_params.get("lang", ""), request.query_params.get("theme", "")
    if wanted in LANGUAGES:
        cookies[LANGUAGE_COOKIE] = wanted
    if theme in THEMES:
        cookies[THEME_COOKIE] = theme
    if cookies:
        raise Elsewhere(address(request, lang=None, theme=None), cookies)


def redirect(request: Request, elsewhere: Elsewhere) -> Response:
    """See other; a part of a page that htmx asked for becomes a whole page again."""
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": elsewhere.location})
    response = RedirectResponse(elsewhere.location, status_code=303)
    for name, value in elsewhere.cookies.items():
        response.set_cookie(name, value, max_age=_YEAR_S, samesite="lax", secure=request.url.scheme == "https")
    return response


def places(request: Request, caller: Caller | None) -> list[tuple[Place, bool]]:
    """The navigation for this caller, each entry with whether the page is in it."""
    path = request.url.path
    return [
        (place, path == place.path or (place.path != "/" and path.startswith(place.path + "/")))
        for place in NAVIGATION
        if caller is not None and caller.may(place.scope)
    ]


def render(
    request: Request, template: str, *, status: int = 200, caller: Caller | None = None, **values: Any
) -> HTMLResponse:
    """A page in the reader's language, theme and time zone."""
    gateway = gateway_of(request)
    language: Language = language_of(request)
    formats = Formats(language, zone_of(request))

    def t(key: str, **filled: object) -> str:
        return translate(language, key, **filled)

    def label(kind: str, value: str) -> str:
        """A category or risk type in the reader's language; as the model wrote it when it is new to us."""
        key = f"{kind}.{value}"
        return t(key) if known(key) else value

    html = (
        _environment()
        .get_template(template)
        .render(
            request=request,
            path=request.url.path,
            language=language,
            languages=LANGUAGES,
            theme=theme_of(request),
            themes=THEMES,
            zone=formats.zone.key,
            caller=caller,
            places=places(request, caller),
            csrf=sessions.form_token(request, gateway.secret),
            address=lambda **changes: address(request, **changes),
            t=t,
            said=lambda reason: told(language, reason),
            label=label,
            when=formats.when,
            day=formats.day,
            number=formats.number,
            compact=formats.compact,
            percent=formats.percent,
            **values,
        )
    )
    response = HTMLResponse(html, status_code=status, headers={"Cache-Control": "private, no-cache", "Vary": "Cookie"})
    sessions.keep_visit(request, response)
    return response


def problem_page(request: Request, problem: Problem) -> Response:
    """An error as a page: what happened and what to do."""
    known_statuses = {403, 404, 409, 412, 422, 503}
    key = f"error.{problem.status}" if problem.status in known_statuses else "error.other"
    response = render(
        request,
        "problem.html",
        status=problem.status,
        key=key,
        advice=f"{key}.do" if known(f"{key}.do") else None,
        problem=problem,
        request_id=request.state.request_id,
    )
    response.headers.update(problem.headers)
    return response
