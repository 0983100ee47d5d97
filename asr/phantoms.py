"""What Whisper invents where nobody speaks, and how it is told from speech.

It was trained on subtitles: on silence, noise and music it writes the credits of subtitle makers, repeats itself, or says
the prompt.
Each rule gives its reason, and what was removed is kept beside the transcript with it.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from yuqing.contracts import RemovedSegment, Segment

# Raise it when a rule changes what is removed: it is part of a transcript's options.
RULES_VERSION = 3

# Lines of subtitle makers and video platforms that Whisper's training data end with; none is news. A segment that holds one
# is removed whole.
SUBTITLE_CREDITS = re.compile(
    r"请不吝点赞|点赞.{0,4}订阅.{0,4}转发|打赏支持|明镜与点点|"
    r"字幕(志愿者|组|由|制作|提供|by)|(中文|普通话|简体)字幕|amara\.org|"
    r"优优独播剧场|yoyo\s?television|"
    r"^\s*(作词|作曲|编曲|词曲)[\s:：]",
    re.IGNORECASE,
)
# Similarity from which a segment is the prompt come back. Echoes over noise and music were 0.9-1.0 alike, news below 0.4.
ECHO_SIMILARITY = 0.7
_LOOP = "loop: the same segment again and again"
_MARKS = re.compile(r"[\W_]+")
_LONGEST_UNIT = 12  # characters of a repeated phrase; loops over noise had units of 1 to 8


@dataclass(frozen=True)
class Heard:
    """A segment as the model gave it. `voice_s`: seconds of it in which the voice detector heard somebody. `loops`: it is a later
    turn of a loop that the model fell into, and its sound was listened to once more.

    The others are the engine's: asr.engines.engine.SpokenSegment says what they are.
    """

    segment: Segment
    voice_s: float
    no_speech_probability: float = 0.0
    mean_log_probability: float = 0.0
    loops: bool = False


@dataclass(frozen=True)
class Rules:
    """From where on a segment counts as invented; the settings of the same names say more."""

    prompt: str
    voice_share: float
    loop_repeats: int
    no_speech_probability: float
    mean_log_probability: float
    compression_ratio: float


@dataclass(frozen=True)
class Sifted:
    """What was said, and what was not."""

    kept: tuple[Segment, ...]
    removed: tuple[RemovedSegment, ...]


def sift(heard: Sequence[Heard], rules: Rules, hot_words: str = "") -> Sifted:
    """Part speech from phantoms. Of a loop, inside a segment or of whole segments, the first turn is kept.

    `hot_words` are what the model was told to expect: they come back as the prompt does.
    """
    kept: list[Segment] = []
    removed: list[RemovedSegment] = []

    def remove(segment: Segment, text: str, reason: str) -> None:
        removed.append(RemovedSegment(start=segment.start, end=segment.end, text=text, reason=reason))

    for item in heard:
        if item.loops:
            remove(item.segment, item.segment.text, _LOOP)
            continue
        if reason := reason_to_remove(item, rules, hot_words):
            remove(item.segment, item.segment.text, reason)
            continue
        text, loops = unloop(item.segment.text, rules.loop_repeats)
        for loop in loops:
            remove(item.segment, loop, "loop: the same words again and again")
        if compression_ratio(text) > rules.compression_ratio:
            remove(item.segment, text, "compression: words that come back in another order are a loop too")
            continue
        kept.append(item.segment.model_copy(update={"text": text}))
    spoken: list[Segment] = []
    for segment, again in zip(kept, looping([segment.text for segment in kept], rules.loop_repeats), strict=True):
        if again:
            remove(segment, segment.text, _LOOP)
        else:
            spoken.append(segment)
    return Sifted(tuple(spoken), tuple(sorted(removed, key=lambda segment: segment.start)))


def looping(texts: Sequence[str], repeats: int) -> list[bool]:
    """For each text whether it is a later turn of a loop: of the same text `repeats` times or more in a row."""
    found: list[bool] = []
    for _, run in groupby(texts):
        turns = len(list(run))
        found += [False] + [turns >= repeats] * (turns - 1)
    return found


def reason_to_remove(item: Heard, rules: Rules, hot_words: str = "") -> str | None:
    """Why this segment is no speech; None when it is."""
    plain = _MARKS.sub("", item.segment.text)
    if not plain:
        return "no words"
    if item.voice_s < rules.voice_share * (item.segment.end - item.segment.start):
        return "no voice: nobody speaks there"
    if (
        item.mean_log_probability < rules.mean_log_probability
        and item.no_speech_probability > rules.no_speech_probability
    ):
        return "no speech: the model hears nobody and does not believe its words"
    if SUBTITLE_CREDITS.search(item.segment.text):
        return "credits: a subtitle maker's line"
    for given in (rules.prompt, hot_words):
        echo = _MARKS.sub("", given)
        if echo and SequenceMatcher(None, plain, echo, autojunk=False).ratio() >= ECHO_SIMILARITY:
            return "echo: the prompt came back"
    return None


def compression_ratio(text: str) -> float:
    """How far zlib shrinks the text's UTF-8: Whisper's measure of loops. News has 0.8 to 1.6, by its length."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def unloop(text: str, repeats: int) -> tuple[str, list[str]]:
    """Cut a phrase said `repeats` times or more in a row down to one; returns the text and what was cut out.

    Numbers are left alone: 100000000 is no loop.
    """
    loops: list[str] = []

    def cut(match: re.Match[str]) -> str:
        unit = match[1]
        if not re.search(r"[^\W\d_]", unit):
            return match[0]
        loops.append(match[0][len(unit) :])
        return unit

    pattern = rf"(.{{1,{_LONGEST_UNIT}}}?)\1{{{repeats - 1},}}"
    return re.sub(pattern, cut, text), loops
