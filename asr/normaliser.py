"""The published normaliser: what two spellings of the same words become before errors are counted (docs/asr.md lists the rules).

A reference may write 百分之十二点五 or 12.5%, 两千 or 2000, 華為 or 华为: that is no error of a recogniser. What was said is
compared, so numbers become the characters in which they are read.
"""

import re
import unicodedata

from yuqing.text.normalise import to_simplified

# Raise it when a rule changes: error rates of different versions cannot be compared.
VERSION = 1

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿")
_LONGEST_CARDINAL = 12  # digits; longer ones, such as account numbers, are read digit by digit
_PARTS = {"%": "百分之", "‰": "千分之"}
_NUMBER = r"\d+(?:\.\d+)?"
# Characters that write the same number.
_VARIANTS = str.maketrans("〇○两幺", "零零二一")
_NOT_SPOKEN = re.compile(r"[^\w]|_")


def normalise_transcript(text: str) -> str:
    """Letters, ideographs and numbers alone, without blanks; Latin words are parted by one blank.

    Width (NFKC), letter case and script (simplified) are made one, numbers become Chinese characters as they are read, two-fold
    spellings of 二 and 零 one, and punctuation and other signs go.
    """
    text = to_simplified(unicodedata.normalize("NFKC", text)).lower()
    text = spoken_numbers(text).translate(_VARIANTS)
    text = _NOT_SPOKEN.sub(" ", text)
    # A blank counts between two Latin words alone: 华为 发布 is 华为发布, but open ai is not openai.
    return re.sub(r"(?<![a-z]) +| +(?![a-z])", "", text).strip()


def characters(text: str) -> list[str]:
    """What a character error rate counts, of normalised text: each character; no blanks."""
    return list(text.replace(" ", ""))


def words(text: str) -> list[str]:
    """What a word error rate counts, of normalised text: the words of jieba (without guessing of unknown ones)."""
    import jieba

    jieba.setLogLevel("WARNING")
    return [word for word in jieba.cut(text, HMM=False) if word.strip()]


def spoken_numbers(text: str) -> str:
    """Numbers in digits become the characters in which they are read; all else stays."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<!\d)(?:19|20)\d{2}(?=年)", lambda year: _one_by_one(year[0]), text)
    text = re.sub(r"(?<!\d)(\d{1,2}):(\d{2})(?!\d)", lambda time: f"{time[1]}点{time[2]}分", text)
    text = re.sub(rf"({_NUMBER})([%‰])", lambda part: _PARTS[part[2]] + part[1], text)
    return re.sub(_NUMBER, lambda number: read_number(number[0]), text)


def _one_by_one(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits)


def read_number(number: str) -> str:
    """A number in digits, with or without a point, as it is read in Chinese: 1,050.2 (without the comma) is 一千零五十点二."""
    whole, _, fraction = number.partition(".")
    if len(whole) > _LONGEST_CARDINAL or (whole.startswith("0") and len(whole) > 1):
        read = _one_by_one(whole)
    else:
        read = _cardinal(int(whole))
    return f"{read}点{_one_by_one(fraction)}" if fraction else read


def _cardinal(value: int) -> str:
    if value == 0:
        return "零"
    groups = []
    while value:
        value, group = divmod(value, 10_000)
        groups.append(group)
    read = ""
    for place in reversed(range(len(groups))):
        group = groups[place]
        # One 零 stands for the empty places before a group: its own thousands, or a whole group.
        if read and group and (group < 1000 or groups[place + 1] == 0):
            read += "零"
        if group:
            read += _four_digits(group) + _GROUPS[place]
    return read.removeprefix("一") if read.startswith("一十") else read


def _four_digits(value: int) -> str:
    read = ""
    for place in (3, 2, 1, 0):
        digit = value // 10**place % 10
        if digit:
            read += _DIGITS[digit] + _PLACES[place]
        elif read and not read.endswith("零") and value % 10**place:
            read += "零"
    return read
