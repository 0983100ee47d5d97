"""Marks in foreign text: nothing is lost, nothing becomes markup."""

import html
import re

from hypothesis import given
from hypothesis import strategies as some

from gateway.pages.marks import Mark, hits, marked, paragraphs
from gateway.pages.rendering import clock, external
from gateway.pages.sign_in import local_path
from gateway.queries.cursors import BadCursor, Cursor
from gateway.queries.terms import parse_terms

HOSTILE = some.text(alphabet=some.sampled_from("<>&\"'/=ab召回 \n;!-"), max_size=60)


def plain(markup: str) -> str:
    """The text that a browser shows."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


@some.composite
def marks(draw: some.DrawFn) -> tuple[str, list[Mark]]:
    text = draw(HOSTILE)
    found = []
    for number in range(draw(some.integers(0, 5))):
        start, end = sorted((draw(some.integers(0, len(text) + 2)), draw(some.integers(0, len(text) + 2))))
        kind = draw(some.sampled_from(["evidence", "mention"]))
        anchor = f"evidence-1-{number}" if kind == "evidence" else ""
        found.append(Mark(start, end, kind, draw(HOSTILE), "negative", anchor))  # type: ignore[arg-type]
    return text, found


@given(marks())
def test_marked_text_reads_as_before(given_text: tuple[str, list[Mark]]) -> None:
    text, found = given_text
    markup = str(marked(text, found))
    assert plain(markup) == text
    assert set(re.findall(r"</?([a-z]+)", markup)) <= {"span", "mark"}
    assert markup.count("<mark") == markup.count("</mark>")
    for mark in found:
        if mark.anchor and mark.start < min(mark.end, len(text)):
            assert markup.count(f'id="{mark.anchor}"') == 1
            covered = "".join(
                plain(piece)
                for names, piece in re.findall(
                    r'<mark class="[^"]*" data-evidence="([^"]*)"[^>]*>(.*?)</mark>', markup, re.S
                )
                if mark.anchor in names.split()
            )
            assert covered == text[mark.start : mark.end]


@given(HOSTILE)
def test_paragraphs_hold_every_line(text: str) -> None:
    lines = [line for line in text.split("\n") if line.strip()]
    assert [plain(str(paragraph)) for paragraph in paragraphs(text, [])] == lines


@given(HOSTILE, HOSTILE)
def test_hits_read_as_before(text: str, query: str) -> None:
    markup = str(hits(text, parse_terms(query)))
    assert plain(markup) == text
    assert set(re.findall(r"</?([a-z]+)", markup)) <= {"mark"}


def test_hits_are_marked_whatever_their_case() -> None:
    assert str(hits("IPHONE 与 iPhone", parse_terms("iphone"))).count("<mark") == 2
    assert str(hits("aaa", parse_terms("aa"))) == "aaa" or "<mark" in str(hits("aaa", parse_terms("aa")))


@given(some.text(max_size=80))
def test_a_foreign_cursor_is_refused_cleanly(text: str) -> None:
    try:
        cursor = Cursor.decode(text)
    except BadCursor:
        return
    assert Cursor.decode(cursor.encode()) == cursor


def test_only_web_addresses_become_links() -> None:
    assert external("https://a.example/x?y=1") == "https://a.example/x?y=1"
    assert external("http://[::1]/") == "http://[::1]/"
    for bad in (
        "javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//a.example",
        "/x",
        "",
        "http://[",
        None,
    ):
        assert external(bad) is None, bad


def test_only_local_paths_are_gone_on_to() -> None:
    assert local_path("/documents/1?a=b#c") == "/documents/1?a=b#c"
    for bad in ("https://a.example", "//a.example", "/\\a.example", "javascript:x", "", "/a\nb", "/\t/a"):
        assert local_path(bad) == "/", bad


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0, 9.9, 61, 3600, 3725.2)] == ["0:00", "0:09", "1:01", "1:00:00", "1:02:05"]
