"""How what was heard is written down: simplified characters, full-width punctuation."""

import re
from collections.abc import Sequence
from dataclasses import replace

from asr.phantoms import Heard
from yuqing.text.normalise import to_simplified

_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff"
_FULL_WIDTH = str.maketrans(",;:!?", "，；：！？")


def tidy(heard: Sequence[Heard]) -> list[Heard]:
    """Simplified characters and full-width punctuation; the script is judged over the whole transcript."""
    if not heard:
        return []
    texts = [item.segment.text for item in heard] + [word.text for item in heard for word in item.segment.words]
    lines = iter(to_simplified("\n".join(texts)).split("\n"))
    written = [punctuate(next(lines)) for _ in heard]
    return [
        replace(
            item,
            segment=item.segment.model_copy(
                update={
                    "text": text,
                    "words": tuple(word.model_copy(update={"text": next(lines)}) for word in item.segment.words),
                }
            ),
        )
        for item, text in zip(heard, written, strict=True)
    ]


def punctuate(text: str) -> str:
    """Whisper's half-width marks after an ideograph become full-width ones; a blank between ideographs, its sign for a
    pause, becomes a comma."""
    text = re.sub(rf"(?<=[{_IDEOGRAPH}]) +(?=[{_IDEOGRAPH}])", "，", text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])[,;:!?]", lambda mark: mark[0].translate(_FULL_WIDTH), text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])\.(?!\w)", "。", text)
    return re.sub(r"(?<=[，；：！？。]) +", "", text)
