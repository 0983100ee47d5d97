"""The formats that people and players read."""

import json

from yuqing.contracts import RemovedSegment, Segment, Transcript
from yuqing.subtitles import FORMATS

TRANSCRIPT = Transcript(
    media_sha256="a" * 64,
    model="whisper-base",
    options_hash="b" * 32,
    language="zh",
    duration_s=3725.5,
    text="各位早上好。\nA&B <公司>发布财报。",
    segments=(
        Segment(start=0, end=2.5, text="各位早上好。"),
        Segment(start=3661.0456, end=3725.5, text="A&B <公司>发布财报。"),
    ),
    removed=(RemovedSegment(start=3, end=4, text="请不吝点赞", reason="credits: a subtitle maker's line"),),
)
SILENT = TRANSCRIPT.model_copy(update={"text": "", "segments": ()})


def test_text() -> None:
    assert FORMATS["txt"](TRANSCRIPT) == "各位早上好。\nA&B <公司>发布财报。\n"
    assert FORMATS["txt"](SILENT) == ""


def test_json_is_the_contract_on_one_line() -> None:
    line = FORMATS["json"](TRANSCRIPT)
    assert line.count("\n") == 1
    assert "各位早上好" in line
    assert Transcript.model_validate(json.loads(line)) == TRANSCRIPT


def test_srt() -> None:
    assert FORMATS["srt"](TRANSCRIPT) == (
        "1\n00:00:00,000 --> 00:00:02,500\n各位早上好。\n\n2\n01:01:01,046 --> 01:02:05,500\nA&B <公司>发布财报。\n"
    )
    assert FORMATS["srt"](SILENT) == ""


def test_vtt() -> None:
    assert FORMATS["vtt"](TRANSCRIPT) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\n各位早上好。\n\n"
        "01:01:01.046 --> 01:02:05.500\nA&amp;B &lt;公司>发布财报。\n"
    )
    assert FORMATS["vtt"](SILENT) == "WEBVTT\n"
