"""A transcript for people: plain text, JSON, SubRip (srt) and WebVTT (vtt)."""

import json
from collections.abc import Callable

from yuqing.contracts import Transcript


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, thousandths = divmod(rest, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{mark}{thousandths:03}"


def as_text(transcript: Transcript) -> str:
    """One segment a line."""
    return transcript.text + "\n" if transcript.text else ""


def as_json(transcript: Transcript) -> str:
    """The whole contract, with times and what was removed, as one line of JSON."""
    return json.dumps(transcript.model_dump(mode="json"), ensure_ascii=False) + "\n"


def as_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, comma before the milliseconds."""
    cues = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n"
        for number, segment in enumerate(transcript.segments, 1)
    )
    return "\n".join(cues)


def as_vtt(transcript: Transcript) -> str:
    """WebVTT; `&` and `<` are its only special characters."""
    cues = (
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n"
        f"{segment.text.replace('&', '&amp;').replace('<', '&lt;')}\n"
        for segment in transcript.segments
    )
    return "\n".join(["WEBVTT\n", *cues])


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": as_text, "json": as_json, "srt": as_srt, "vtt": as_vtt}
