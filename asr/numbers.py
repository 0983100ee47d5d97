"""Numbers in words (百分之三点五) become digits (3.5%); the other way is asr.normaliser.spoken_numbers.

Only what is certainly a number is turned: 百分之, years, digits one by one, and amounts before a unit of measure. 三一重工,
千万不要, 一心一意 and 十分满意 stay.
"""

import re

_DIGITS = "零一二三四五六七八九"
_VALUES = {**{digit: value for value, digit in enumerate(_DIGITS)}, "〇": 0, "两": 2}
_PLACES = {"十": 10, "百": 100, "千": 1000}
_GROUPS = {"万": 10_000, "亿": 100_000_000}
_DIGIT = "[零〇一二三四五六七八九]"
_AMOUNT = "[零〇一二两三四五六七八九十百千万亿]+"
# What is counted in the news. 分, 点 and 年 alone are left out: 十分, 一点 and 三年 are words as often as amounts.
_UNITS = (
    "元|美元|欧元|港元|日元|人民币|股|手|人|名|户|家|台|辆|架|艘|套|件|只|部|座|栋|项|款|次|倍|吨|公斤|千克|克|公里|米|平方米|亩|公顷|度|千瓦|兆瓦|升|桶|"
    "个百分点|个基点|个月|个|天|日|月|小时|分钟|秒|岁|周年"
)


def written(text: str) -> str:
    """Numbers in words become digits, where they are numbers for certain: 三十二万六千辆 is 32.6万辆."""
    text = re.sub(
        rf"百分之({_AMOUNT}(?:点{_DIGIT}+)?)", lambda m: f"{_decimal(m[1])}%" if _decimal(m[1]) else m[0], text
    )
    text = re.sub(rf"{_DIGIT}{{4}}(?=年)", lambda m: _one_by_one(m[0]), text)
    text = re.sub(rf"{_DIGIT}{{3,}}(?![十百千万亿])", lambda m: _one_by_one(m[0]), text)
    # Of an amount one character alone stays: 一个, 三名 are no figures.
    return re.sub(
        rf"(?<!第)({_AMOUNT}点{_DIGIT}+[万亿]?|{_AMOUNT})(?={_UNITS})",
        lambda m: _decimal(m[1]) or m[0] if len(m[1]) > 1 else m[0],
        text,
    )


def _one_by_one(digits: str) -> str:
    return "".join(str(_VALUES[digit]) for digit in digits)


def _decimal(said: str) -> str:
    """三点二五亿 as 3.25亿; empty where it is no number."""
    whole, point, fraction = said.partition("点")
    group = fraction[-1:] if fraction[-1:] in _GROUPS else ""
    value = _cardinal(whole)
    if value is None:
        return ""
    if point:
        return f"{value}.{_one_by_one(fraction.removesuffix(group))}{group}"
    for sign, size in (("亿", 10**8), ("万", 10**4)):
        if value >= size and value * 100 % size == 0:
            hundredths = value * 100 // size
            return f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".") + sign
    return str(value)


def _cardinal(said: str) -> int | None:
    """二百零五 as 205; None for what is no number, such as 万一 or 十百."""
    total = section = 0
    digit: int | None = None
    before = 10**12
    for character in said:
        if character in _VALUES:
            if digit:
                return None
            digit = _VALUES[character]
        elif character in _PLACES:
            if digit is None and (character != "十" or section or total):
                return None
            section += (digit if digit is not None else 1) * _PLACES[character]
            digit = None
        else:
            if _GROUPS[character] >= before or not (section or digit):
                return None
            before = _GROUPS[character]
            total += (section + (digit or 0)) * before
            section, digit = 0, None
    return total + section + (digit or 0)
