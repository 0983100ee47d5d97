"""Recordings with ranges."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import Engine

from gateway.media import parse_range
from gateway.problems import Problem
from tests.gateway import rows
from tests.gateway.test_keys import is_problem
from yuqing.objects import ObjectStore

CONTENT = bytes(range(256)) * 9000  # more than one chunk of 1 MiB


@given(some.integers(0, 1000), some.text(max_size=30) | some.from_regex(r"bytes=\d{0,4}-\d{0,4}", fullmatch=True))
def test_a_range_lies_in_the_object_or_is_refused(size: int, header: str) -> None:
    try:
        part = parse_range(header, size)
    except Problem as refused:
        problem: Problem | None = refused
        part = None
    else:
        problem = None
    assert part is None or 0 <= part.first <= part.last < size
    assert problem is None or (problem.status, problem.headers) == (416, {"Content-Range": f"bytes */{size}"})


@pytest.mark.service
def test_recording_whole_and_in_parts(api: httpx.Client, database: Engine, store: ObjectStore) -> None:
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "云岭通信")
        sha256 = rows.add_media(connection, CONTENT, "audio/mpeg; charset=binary")
        rows.add_story(connection, rows.Story("云岭通信节目", "云岭通信。", media=sha256))
    path = f"/v1/media/{sha256}/content"
    is_problem(api.get(path), 404, "not-found")  # the row is there, the object is not
    store.put(f"media/{sha256[:2]}/{sha256}.bin", CONTENT)
    whole = api.get(path)
    assert whole.status_code == 200
    assert whole.content == CONTENT
    assert whole.headers["content-type"] == "audio/mpeg"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in whole.headers
    for header, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-", 100, len(CONTENT) - 1),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT) - 1),
        ("bytes=1048570-1048590", 1048570, 1048590),
        (f"bytes=5-{len(CONTENT) * 2}", 5, len(CONTENT) - 1),
    ):
        part = api.get(path, headers={"Range": header})
        assert part.status_code == 206, header
        assert part.content == CONTENT[first : last + 1], header
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    is_problem(api.get(path, headers={"Range": f"bytes={len(CONTENT)}-"}), 416, "range")
    for ignored in ("bytes=9-3", "items=0-1", "bytes=0-1,5-6", "bytes=-"):
        assert api.get(path, headers={"Range": ignored}).status_code == 200, ignored
    tag = whole.headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert api.get(path, headers={"If-Range": '"other"', "Range": "bytes=0-1"}).status_code == 200
    is_problem(api.get(f"/v1/media/{'0' * 64}/content"), 404, "not-found")


@pytest.mark.service
def test_a_type_that_a_page_could_run_is_only_a_download(
    api: httpx.Client, database: Engine, store: ObjectStore
) -> None:
    hostile = b"<script>alert(1)</script>"
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "云岭通信")
        sha256 = rows.add_media(connection, hostile, "text/html")
        rows.add_story(connection, rows.Story("云岭通信节目", "云岭通信。", media=sha256))
    store.put(f"media/{sha256[:2]}/{sha256}.bin", hostile)
    answer = api.get(f"/v1/media/{sha256}/content")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
