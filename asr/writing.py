"""How what was heard is written down: simplified characters, full-width punctuation."""

import re
from collections.abc import Sequence
from dataclasses import replace

from asr.phantoms import Heard
from yuqing.contracts import Segment
from yuqing.text.normalise import to_simplified

_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff"
# Words in which 著 is no particle; elsewhere (随著, 意味著) OpenCC's tables leave Taiwan's spelling of 着.
_WORK = re.compile("[名显原编专论巨土卓昭合遗译拙旧新所]著|著(?=[名作称者书述录])")
_PARTICLE = re.compile("[着著]")
_FULL_WIDTH = str.maketrans(",;:!?", "，；：！？")


def tidy(heard: Sequence[Heard]) -> list[Heard]:
    """Simplified characters and full-width punctuation; the script is judged over the whole transcript."""
    if not heard:
        return []
    texts = [item.segment.text for item in heard] + [word.text for item in heard for word in item.segment.words]
    lines = iter(to_simplified("\n".join(texts)).split("\n"))
    written = [particles(punctuate(next(lines))) for _ in heard]
    return [
        replace(item, segment=_with(item.segment, text, [next(lines) for _ in item.segment.words]))
        for item, text in zip(heard, written, strict=True)
    ]


def _with(segment: Segment, text: str, words: Sequence[str]) -> Segment:
    """The segment with this text, and with these words, whose 着 and 著 are the text's: a word alone does not tell which it is."""
    spelled = _PARTICLE.findall(text)
    if len(spelled) == sum(len(_PARTICLE.findall(word)) for word in words):
        left = iter(spelled)
        words = [_PARTICLE.sub(lambda _: next(left), word) for word in words]
    heard = [word.model_copy(update={"text": new}) for word, new in zip(segment.words, words, strict=True)]
    return segment.model_copy(update={"text": text, "words": tuple(heard)})


def particles(text: str) -> str:
    """着 for 著 where it is a particle: 随著 becomes 随着, 著名 stays."""
    works = {place for match in _WORK.finditer(text) for place in range(*match.span())}
    return "".join("着" if mark == "著" and place not in works else mark for place, mark in enumerate(text))


def punctuate(text: str) -> str:
    """Whisper's half-width marks after an ideograph become full-width ones; a blank between ideographs, its sign for a
    pause, becomes a comma."""
    text = re.sub(rf"(?<=[{_IDEOGRAPH}]) +(?=[{_IDEOGRAPH}])", "，", text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])[,;:!?]", lambda mark: mark[0].translate(_FULL_WIDTH), text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])\.(?!\w)", "。", text)
    return re.sub(r"(?<=[，；：！？。]) +", "", text)
