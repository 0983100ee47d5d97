"""岚港财经: a finance portal of the old school. GB18030 bytes, server-rendered lists, tracking parameters on every link."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.newsroom.edition import CHANNELS, Article, Edition
from examples.newsroom.media.furniture import ENVIRONMENT, STATIC, comments, pages_of, related
from examples.newsroom.recordings import FOLDER as RECORDINGS_FOLDER
from examples.newsroom.selection import drawn

PAGE_SIZE = 10


def application(edition: Edition, base: str) -> Starlette:
    """The site's ASGI application; `base` is its own address, such as http://127.0.0.1:8800."""
    articles = edition.of("finance")
    channels = CHANNELS["finance"]

    def home(request: Request) -> Response:
        latest = {channel: edition.of("finance", channel)[:8] for channel in channels}
        return _page("home.html", base, articles, latest=latest, track=_tracker("home"))

    def listing(request: Request) -> Response:
        channel = request.path_params["channel"]
        number = request.path_params.get("number", 1)
        pages = pages_of(edition.of("finance", channel), PAGE_SIZE) if channel in channels else []
        if not 1 <= number <= len(pages):
            return _not_found(base, articles)
        return _page(
            "list.html", base, articles, channel=channel, page=pages[number - 1], track=_tracker(f"list{number}")
        )

    by_path = {article.path: article for article in articles}

    def read(request: Request) -> Response:
        article = by_path.get(request.url.path)
        if article is None:
            return _not_found(base, articles)
        return _page(
            "article.html",
            base,
            articles,
            article=article,
            canonical=base + article.path,
            related=related(article, articles),
            comments=comments(article),
            track=_tracker("related"),
        )

    media = {a.recording.path: a.recording for a in articles if a.recording}

    def recording(request: Request) -> Response:
        found = media.get(request.url.path)
        if found is None:
            return _not_found(base, articles)
        return FileResponse(RECORDINGS_FOLDER / found.file, media_type=found.content_type)

    def search(request: Request) -> Response:
        # Addresses of its time: the name's bytes are GB18030, as the page's are.
        wanted = parse_qs(request.scope["query_string"].decode("ascii"), encoding="gb18030").get("q", [""])[0].strip()
        found = [a for a in articles if wanted and any(wanted in part for part in (a.title, *a.paragraphs))]
        return _page("search.html", base, articles, wanted=wanted, found=found[:PAGE_SIZE], track=_tracker("search"))

    def robots(request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /search\n")

    return Starlette(
        routes=[
            Route("/", home),
            Route("/robots.txt", robots),
            Route("/audio/{file}", recording),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/so/", search),
            Route("/{channel}/", listing),
            Route("/{channel}/list_{number:int}.html", listing),
            Route("/{channel}/{day}/{page}", read),
        ],
        exception_handlers={404: lambda request, problem: _not_found(base, articles)},
    )


def _tracker(place: str) -> Callable[[Article], str]:
    """A function that gives an article's address with the tracking parameters of the place that links to it."""

    def track(article: Article) -> str:
        number = drawn(place, article.path)
        choices: tuple[dict[str, str], ...] = (
            {"utm_source": "langang", "utm_medium": place, "utm_campaign": f"c{number % 97}"},
            {"spm": f"a2c.{number % 9973}.{number % 89}.{number % 11}"},
            {"from": place},
            {"from": place, "spm": f"b7.{number % 7919}", "utm_source": "feed"},
        )
        return f"{article.path}?{urlencode(choices[number % len(choices)])}"

    return track


def _page(template: str, base: str, articles: list[Article], status: int = 200, **context: object) -> Response:
    html = ENVIRONMENT.get_template(f"finance/{template}").render(
        base=base, channels=CHANNELS["finance"], popular=articles[2:10], **context
    )
    # Like many old sites: the bytes are GB18030, the page calls them gb2312, and the header says nothing.
    return Response(html.encode("gb18030"), status, headers={"content-type": "text/html"})


def _not_found(base: str, articles: list[Article]) -> Response:
    return _page("missing.html", base, articles, status=404, track=_tracker("missing"))
