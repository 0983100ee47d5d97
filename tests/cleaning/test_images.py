"""Which pictures are kept with an article."""

import pytest

from cleaning.article import draft, finish
from tests.cleaning.conftest import article_text, raw
from yuqing.contracts import ImageReference, RawDocument
from yuqing.settings import CleaningSettings

SETTINGS = CleaningSettings()  # type: ignore[call-arg]
LINES = article_text(1, 6).split("\n")
PARAGRAPHS = [f"<p>{line}</p>" for line in LINES]
LINKS = "".join(f"<li><a href='/{n}'>另一条新闻的标题在这里，第{n}条。</a></li>" for n in range(30))


def images(html: str, **fields: object) -> list[tuple[str, str]]:
    document = RawDocument.model_validate(raw(1, html, **fields))
    article = finish(draft(document), "raw/daily/2024/06/01/01A.jsonl.gz", SETTINGS)
    return [(image.url, image.alt) for image in article.images]


def around(article: str, head: str = "") -> str:
    """A page with pictures beside the article."""
    return (
        f"<html><head><title>标题_每日网</title>{head}</head><body><div class='head'><a href='/'><img src='/banner.jpg'></a></div>"
        f"<ul>{LINKS}</ul><div class='main'><h1>标题</h1><div class='content'>{article}</div></div>"
        f"<div class='sidebar'><p>{LINES[0]}</p><img src='/side.jpg'></div><ul><img src='/foot.jpg'>{LINKS}</ul></body></html>"
    )


def test_address_alt_and_order() -> None:
    article = (
        "<p><img src='/lead.jpg' alt='  发布会\n现场 '></p>"
        + PARAGRAPHS[0]
        + "<figure><img src='//cdn.example.com/2.png' title='图二'></figure>"
        + "".join(PARAGRAPHS[1:])
        + "<p><img src='3.webp'><img src='/lead.jpg'></p>"
    )
    expected = [
        ("https://news.example.com/lead.jpg", "发布会 现场"),
        ("https://cdn.example.com/2.png", "图二"),
        ("https://news.example.com/3.webp", ""),
    ]
    assert images(around(article)) == expected
    assert images(around(article), text_selector=".content") == expected
    other_base = around(article, "<base href='https://img.example.org/a/'>")
    assert images(other_base)[2][0] == "https://img.example.org/a/3.webp"


@pytest.mark.parametrize(
    ("markup", "address"),
    [
        ("<img src='/static/blank.gif' data-original='/a.jpg'>", "https://news.example.com/a.jpg"),
        (
            "<img src='data:image/gif;base64,R0lGOD' data-src='https://p.example.com/a?wx=1'>",
            "https://p.example.com/a?wx=1",
        ),
        ("<img zoomfile='data/a.jpg' src='static/image/common/none.gif'>", "https://news.example.com/data/a.jpg"),
        ("<img src='/photo.jpg' width='600' height='400px'>", "https://news.example.com/photo.jpg"),
        ("<img src='/photo.jpg' width='100%'>", "https://news.example.com/photo.jpg"),
        ("<img src='/count.gif' width='1' height='1'>", None),
        ("<img src='/face.gif' width=24>", None),
        ("<img src='/images/wx_qrcode.png'>", None),
        ("<img src='/x.png' alt='扫码关注我们的二维码'>", None),
        ("<img src='/u/1.jpg' class='author-avatar'>", None),
        ("<img src=''><img><img src='data:image/png;base64,AAAA'>", None),
        ("<img src='javascript:void(0)/a.jpg'><img src='http://[::1/a.jpg'>", None),
        ("<noscript><img src='/a.jpg'></noscript>", None),
        ("<div class='related'><img src='/a.jpg'></div>", None),
    ],
)
def test_lazy_loading_is_seen_through_and_furniture_is_left_out(markup: str, address: str | None) -> None:
    found = images(around(PARAGRAPHS[0] + markup + "".join(PARAGRAPHS[1:])))
    assert [url for url, _ in found] == ([address] if address else [])


def test_what_stands_under_related_articles_is_not_the_articles() -> None:
    article = "".join(PARAGRAPHS) + "<img src='/last.jpg'><p>相关阅读：</p><p>别的新闻。<img src='/other.jpg'></p>"
    assert [url for url, _ in images(around(article))] == ["https://news.example.com/last.jpg"]


def test_of_a_thread_the_opening_posts_pictures_are_kept() -> None:
    def post(number: int, text: str) -> str:
        stamp = f"<div class='time'>第{number}楼 发表于 2024-05-31 15:2{number}</div>"
        return f"<div class='post'>{stamp}{text}<p><img src='/{number}.jpg'></p></div>"

    html = (
        f"<body>{post(1, ''.join(PARAGRAPHS))}{post(2, PARAGRAPHS[0])}{post(3, '<p>说得对，我也这么想。</p>')}</body>"
    )
    assert [url for url, _ in images(html)] == ["https://news.example.com/1.jpg"]


def test_captions_are_normalised_and_masked() -> None:
    document = RawDocument.model_validate(
        raw(1, around("<img src='/a.jpg' alt='失主電話13812345678'>" + "".join(PARAGRAPHS)))
    )
    article = finish(draft(document), "raw/daily/2024/06/01/01A.jsonl.gz", SETTINGS)
    assert article.images == (ImageReference(url="https://news.example.com/a.jpg", alt="失主电话138****5678"),)
    assert article.masked == 1


def test_a_feeds_entry_keeps_its_pictures() -> None:
    body = "".join(PARAGRAPHS) + "<p><img src='/a.jpg'></p>"
    assert images(body, kind="feed_entry") == [("https://news.example.com/a.jpg", "")]


def test_a_page_of_thumbnails_does_not_fill_the_tables() -> None:
    article = "".join(PARAGRAPHS) + "".join(f"<img src='/{n}.jpg'>" for n in range(300))
    assert len(images(around(article, ""))) == 100


def test_hostile_attributes_cost_nothing_and_lose_no_article() -> None:
    article = (
        "".join(PARAGRAPHS) + f"<img src='/a.jpg' width='{'9' * 5000}'><img src='/b.jpg' width='5{' ' * 200_000}x'>"
    )
    assert [address for address, _ in images(around(article, ""))] == [
        "https://news.example.com/a.jpg",
        "https://news.example.com/b.jpg",
    ]
    article += "<img src='c.jpg'>"  # relative to a base that is longer than any address
    assert images(around(article, f"<base href='https://news.example.com/{'x' * 5000}/'>")) == [
        ("https://news.example.com/a.jpg", ""),
        ("https://news.example.com/b.jpg", ""),
    ]
