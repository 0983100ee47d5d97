"""How speech is written down."""

import pytest

from asr.phantoms import Heard
from asr.writing import punctuate, tidy
from yuqing.contracts import Segment, Word


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("各位听众早上好,欢迎收听.", "各位听众早上好，欢迎收听。"),
        ("早上好 欢迎收听", "早上好，欢迎收听"),
        ("真的吗? 是的!", "真的吗？是的！"),
        ("增长3.5%,达到1,000亿", "增长3.5%,达到1,000亿"),
        ("他说:OpenAI GPT 4.1发布", "他说：OpenAI GPT 4.1发布"),
        ("见example.com,谢谢", "见example.com,谢谢"),
    ],
)
def test_punctuation(said: str, written: str) -> None:
    assert punctuate(said) == written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("隨著擴大內需的政策見效,意味著機會", "随着扩大内需的政策见效，意味着机会"),
        ("著名作家的名著,成效顯著", "著名作家的名著，成效显著"),
    ],
)
def test_particles_in_taiwans_spelling(said: str, written: str) -> None:
    words = tuple(Word(start=0, end=1, text=mark, probability=1) for mark in said)
    (item,) = tidy([Heard(Segment(start=0, end=1, text=said, words=words), 1.0)])
    assert item.segment.text == written
    assert "".join(word.text for word in item.segment.words).replace(",", "，") == written
