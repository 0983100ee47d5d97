"""How speech is written down."""

import pytest

from asr.writing import punctuate


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
