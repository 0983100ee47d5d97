"""弧光科技: a technology medium whose lists and articles exist only after a script has run."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.newsroom.edition import Article, Edition
from examples.newsroom.media.furniture import ENVIRONMENT, STATIC, pages_of, related

PAGE_SIZE = 8


def application(edition: Edition, base: str) -> Starlette:
    """The site's ASGI application; `base` is its own address, such as http://127.0.0.1:8802."""
    articles = edition.of("tech")
    pages = pages_of(articles, PAGE_SIZE)
    by_number = {article.path.removeprefix("/p/"): article for article in articles}

    def shell(request: Request) -> Response:
        number = request.path_params.get("number")
        known = number is None or (
            number in by_number if request.url.path.startswith("/p/") else number in map(str, range(1, len(pages) + 1))
        )
        html = ENVIRONMENT.get_template("tech/shell.html").render()
        return Response(html.encode(), 200 if known else 404, media_type="text/html")

    def list_data(request: Request) -> Response:
        number = request.path_params["number"]
        if not 1 <= number <= len(pages):
            return JSONResponse({"error": "没有这一页"}, 404)
        page = pages[number - 1]
        following = f"/list/{number + 1}" if number < page.last else None
        return JSONResponse({"items": [_card(article) for article in page.articles], "more": following})

    def post_data(request: Request) -> Response:
        article = by_number.get(request.path_params["number"])
        if article is None:
            return JSONResponse({"error": "文章不存在或已下线"}, 404)
        return JSONResponse(
            _card(article)
            | {
                "paragraphs": article.paragraphs,
                "author": article.author,
                "editor": article.editor,
                "source": article.source,
                "related": [_card(other) for other in related(article, articles, 4)],
            }
        )

    def robots(request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /account/\n")

    return Starlette(
        routes=[
            Route("/", shell),
            Route("/list/{number}", shell),
            Route("/p/{number}", shell),
            Route("/api/list/{number:int}", list_data),
            Route("/api/post/{number}", post_data),
            Route("/robots.txt", robots),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )


def _card(article: Article) -> dict[str, object]:
    return {
        "title": article.title,
        "url": article.path,
        "brief": article.paragraphs[0][:60],
        "time": chinese_time(article),
    }


def chinese_time(article: Article) -> str:
    """Publication time on a twelve-hour clock, as in 2025年2月28日 下午2:05."""
    time = article.published
    half = "上午" if time.hour < 12 else "下午"
    return f"{time.year}年{time.month}月{time.day}日 {half}{(time.hour - 1) % 12 + 1}:{time:%M}"
