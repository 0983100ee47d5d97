"""Where in a page the article is."""

import pytest

from cleaning import extract

SENTENCE = "市交通部门昨天公布了新的公交线路，三条快线将在下月开通，沿途设有二十一个站点。"
TEXT = "\n".join(f"{number}号线路的首末班时间有所调整，{SENTENCE}" for number in range(1, 6))
PARAGRAPHS = "".join(f"<p>{line}</p>" for line in TEXT.split("\n"))
LINKS = "".join(f"<li><a href='/{n}'>另一条新闻的标题在这里，第{n}条。</a></li>" for n in range(30))


def main_text(html: str) -> str:
    return extract.main_text(extract.read(html), html)


@pytest.mark.parametrize(
    "html",
    [
        f"<body><ul>{LINKS}</ul><div class='article'>{PARAGRAPHS}</div><div class='comments'><p>{SENTENCE}</p></div></body>",
        # Names that mislead: everything stands in a "sidebar", or in ASP.NET's form.
        f"<body><div class='sidebar-right'><ul>{LINKS}</ul><div>{PARAGRAPHS}</div></div></body>",
        f"<body><form id='aspnetForm'><ul>{LINKS}</ul><div>{PARAGRAPHS}</div></form></body>",
        # A table that is never closed takes the navigation in.
        f"<body><table><tr><td>{PARAGRAPHS}<table><tr><td>{LINKS}{LINKS}</td></tr></body>",
        # The text is spread over several cells.
        "<body><table>"
        + "".join(f"<tr><td>{line}</td></tr>" for line in TEXT.split("\n"))
        + f"</table><ul>{LINKS}</ul></body>",
        f"<body><div>{TEXT.replace(chr(10), '<br><br>')}</div><form><p>欢迎发表评论，请先登录，文明上网。</p><input></form></body>",
        f"<body><div>{PARAGRAPHS}</div><div style='display: none'><p>{SENTENCE}</p></div><footer><p>{SENTENCE}</p></footer></body>",
    ],
)
def test_prose_is_found_among_links(html: str) -> None:
    assert main_text(html) == TEXT


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("#lead, .text", "导语在这里。\n正文在这里。"),
        ("//div[@class='text']", "正文在这里。"),
        (".missing", ""),
        ("//div[", ""),
        ("div..", ""),
        ("//div/@class", ""),
    ],
)
def test_a_sites_file_may_say_where_the_text_is(selector: str, expected: str) -> None:
    page = extract.read("<div id='lead'>导语在这里。</div><div>别的。</div><div class='text'><p>正文在这里。</p></div>")
    assert extract.tidy(extract.selected(page, selector).blocks) == expected


@pytest.mark.parametrize("below", [True, False])
def test_of_a_thread_the_opening_post_is_kept(below: bool) -> None:
    def post(number: int, text: str) -> str:
        stamp = f"<div class='time'>第{number}楼 发表于 2024-05-31 15:2{number}</div>"
        return f"<div class='post'>{'' if below else stamp}{text}{stamp if below else ''}</div>"

    html = f"<body>{post(1, PARAGRAPHS)}{post(2, f'<p>{SENTENCE}</p>')}{post(3, '<p>说得对，我也这么想。</p>')}</body>"
    assert main_text(html).startswith(TEXT)
    assert "说得对" not in main_text(html)
    assert main_text(html).count(SENTENCE) == 5


def test_the_updates_of_a_live_report_stay_together() -> None:
    updates = "".join(f"<p class='time'>2024-05-31 15:2{n}</p><p>{line}</p>" for n, line in enumerate(TEXT.split("\n")))
    assert all(line in main_text(f"<body><div>{updates}</div></body>") for line in TEXT.split("\n"))


def test_a_page_may_be_nested_deeply() -> None:
    html = "<div>" * 10_000 + PARAGRAPHS + "</div>" * 10_000
    assert isinstance(main_text(html), str)
