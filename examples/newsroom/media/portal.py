"""汀洲新闻网: a general news portal. RSS, sitemaps, robots.txt, redirects, dead links, a forbidden section and a broken page."""

from __future__ import annotations

from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.newsroom.edition import CHANNELS, MEDIUM_TITLES, Article, Edition
from examples.newsroom.media.furniture import ENVIRONMENT, STATIC, comments, pages_of, related
from examples.newsroom.recordings import FOLDER as RECORDINGS_FOLDER

PAGE_SIZE = 12
FEED_SIZE = 30

DEAD_PATHS = ("/a/20250119/100017.shtml", "/a/20250204/100500.shtml", "/a/20250222/100931.shtml")
"""Linked from the first list, and gone."""

FORBIDDEN_PATHS = tuple(f"/internal/a/20250221/90000{n}.shtml" for n in (1, 2, 3))
"""Linked from a list, and forbidden by robots.txt. They look like articles so that only robots.txt keeps a crawler out."""


def application(edition: Edition, base: str) -> Starlette:
    """The site's ASGI application; `base` is its own address, such as http://127.0.0.1:8801."""
    articles = edition.of("portal")
    channels = CHANNELS["portal"]
    reachable = [article for article in articles if not article.only_old_address_linked]
    by_path = {article.path: article for article in articles}
    moved = {article.old_path: article.path for article in articles if article.old_path}
    media = {article.recording.path: article.recording for article in articles if article.recording}

    def page(template: str, status: int = 200, **context: object) -> Response:
        html = ENVIRONMENT.get_template(f"portal/{template}").render(
            base=base, channels=channels, latest=reachable[:8], **context
        )
        return Response(html.encode(), status, media_type="text/html")

    def not_found(request: Request, problem: Exception | None = None) -> Response:
        return page("missing.html", status=404)

    def home(request: Request) -> Response:
        return page("home.html", articles=reachable[:24])

    def listing(request: Request) -> Response:
        channel = request.path_params["channel"]
        number = request.path_params.get("number", 1)
        pages = pages_of(edition.of("portal", channel), PAGE_SIZE) if channel in channels else []
        if not 1 <= number <= len(pages):
            return not_found(request)
        first_of = channel if number == 1 else ""
        extra: list[tuple[str, str]] = []
        if first_of == "society":
            extra = [(path, f"旧闻回顾：本网往期专题之{n}") for n, path in enumerate(DEAD_PATHS, 1)]
        elif first_of == "china":
            extra = [(path, f"编务通报（第{n}期）") for n, path in enumerate(FORBIDDEN_PATHS, 1)]
        elif first_of == "world":
            extra = [(edition.broken.path, edition.broken.title)]
        return page("list.html", channel=channel, page=pages[number - 1], extra=extra)

    def read(request: Request) -> Response:
        path = request.url.path
        if path == edition.broken.path:
            return Response(
                _cut(page("article.html", article=edition.broken, related=[], comments=[])), media_type="text/html"
            )
        article = by_path.get(path)
        if article is None:
            return not_found(request)
        return page("article.html", article=article, related=related(article, reachable), comments=comments(article))

    def old_address(request: Request) -> Response:
        target = moved.get(request.url.path)
        return RedirectResponse(base + target, status_code=301) if target else not_found(request)

    def internal(request: Request) -> Response:
        return page("internal.html") if request.url.path in FORBIDDEN_PATHS else not_found(request)

    def recording(request: Request) -> Response:
        found = media.get(request.url.path)
        if found is None:
            return not_found(request)
        return FileResponse(RECORDINGS_FOLDER / found.file, media_type=found.content_type)

    def robots(request: Request) -> Response:
        return PlainTextResponse(
            f"User-agent: *\nDisallow: /internal/\nDisallow: /search\n\nSitemap: {base}/sitemap_index.xml\n"
        )

    def xml(template: str, **context: object) -> Response:
        text = ENVIRONMENT.get_template(f"portal/{template}").render(
            base=base, name=MEDIUM_TITLES["portal"], rfc822=format_datetime, **context
        )
        return Response(text.encode(), media_type="application/xml")

    def feed(request: Request) -> Response:
        return xml("rss.xml", articles=reachable[:FEED_SIZE])

    def sitemap_index(request: Request) -> Response:
        return xml("sitemap_index.xml", newest=reachable[0].published)

    def sitemap(request: Request) -> Response:
        return xml("sitemap_news.xml", articles=reachable)

    return Starlette(
        routes=[
            Route("/", home),
            Route("/robots.txt", robots),
            Route("/rss/news.xml", feed),
            Route("/sitemap_index.xml", sitemap_index),
            Route("/sitemap_news.xml", sitemap),
            Route("/a/{day}/{page}", read),
            Route("/html/{rest:path}", old_address),
            Route("/internal/{rest:path}", internal),
            Route("/video/{file}", recording),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{channel}/", listing),
            Route("/{channel}/index_{number:int}.shtml", listing),
        ],
        exception_handlers={404: not_found},
    )


def linked_address(article: Article) -> str:
    """The address that the portal's lists link to: the old one where it has one."""
    return article.old_path or article.path


def _cut(response: Response) -> bytes:
    """A page as a failing server sends it: bytes that are not UTF-8, and an end in the middle of a tag."""
    body = bytes(response.body)
    text = body.index(b'<div class="content">')
    return body[: text + 60] + b"\xff\xfe\x80\xc3\x28" + body[text + 60 : text + 900] + b'<p class="par'


ENVIRONMENT.filters["linked_address"] = linked_address
