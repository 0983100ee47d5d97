"""Personal data of private persons, masked: what analysts do not need to see and nobody should find by searching.

The texts have to be normalised (yuqing.text.normalise: full-width digits are plain). A mask has the length of what it hides,
so that every offset into the text holds. The forms are those of China's practice for showing personal data (GB/T 35273-2020,
7.2): enough stays to recognise one's own number, not enough to use it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

MASK = "*"

# ISO 7064 MOD 11-2, as GB 11643-1999 prescribes it for citizens' numbers.
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"

_SEPARATOR = r"[ -]?"
# Chinese characters count as \w: what may stand beside a number is everything but Latin letters, digits and signs of addresses.
_BEFORE_NUMBER = r"(?<![0-9A-Za-z_.@/=&?-])"
_AFTER_NUMBER = r"(?![0-9A-Za-z_@])(?![.-]\d)"

# 11 digits: 1, then 3 to 9 (MIIT's numbering plan of 2017; 10, 11, 12 are services), written in one or as 3-4-4.
_MOBILE = re.compile(
    rf"{_BEFORE_NUMBER}(?:\+?86{_SEPARATOR})?(?P<number>1[3-9]\d{_SEPARATOR}\d{{4}}{_SEPARATOR}\d{{4}}){_AFTER_NUMBER}"
)
_ID_CARD = re.compile(rf"{_BEFORE_NUMBER}(?P<number>[1-9]\d{{5}}(?:19|20)\d{{9}}[0-9Xx]){_AFTER_NUMBER}")
# 16 to 19 digits by ISO/IEC 7812: 62 UnionPay, 4 Visa, 5 and 2221-2720 Mastercard; in one or in groups of four.
_BANK_CARD = re.compile(
    rf"{_BEFORE_NUMBER}(?P<number>(?:62|4\d|5[1-5]|2[2-7])\d{{2}}(?:{_SEPARATOR}\d{{4}}){{2}}{_SEPARATOR}\d{{4}}"
    rf"(?:{_SEPARATOR}\d{{1,3}})?){_AFTER_NUMBER}"
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])(?P<number>[A-Za-z0-9][A-Za-z0-9._%+-]{0,63})@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_QQ = re.compile(r"(?i)(?<![a-z])(?:qq|扣扣)(?:号码|号|群|：|:|为|是|\s){0,3}(?P<number>[1-9]\d{4,10})(?!\d)")
_WECHAT = re.compile(
    r"(?i)(?:(?<![a-z])(?:wechat|weixin|vx|wx)|微信|薇信|加微)(?:号码|号|id|：|:|为|是|\s){1,3}"
    r"(?P<number>[a-z][a-z0-9_-]{5,19})(?![A-Za-z0-9_-])"
)

# Addresses of offices, not of persons.
_OFFICES = frozenset(
    (
        "admin",
        "ad",
        "ads",
        "bd",
        "business",
        "contact",
        "cs",
        "editor",
        "feedback",
        "help",
        "hr",
        "info",
        "ir",
        "jobs",
        "kefu",
        "mail",
        "market",
        "marketing",
        "media",
        "news",
        "office",
        "postmaster",
        "pr",
        "press",
        "privacy",
        "recruit",
        "report",
        "sales",
        "service",
        "services",
        "support",
        "tousu",
        "webmaster",
        "zhaopin",
    )
)


@dataclass(frozen=True)
class Masked:
    """A text of the same length with its personal data hidden, and how many of each kind there were."""

    text: str
    counts: Counter[str]


def mask(text: str) -> Masked:
    """Hide mobile numbers, ID and bank card numbers (when their check digits are right), e-mail, QQ and WeChat names.

    Lines of companies stay: 400 and 800 numbers, landlines, mail addresses of offices (ir@, service@ ...), public
    accounts. mask(mask(t).text) changes nothing more.
    """
    counts: Counter[str] = Counter()
    if not _may_hold(text):
        return Masked(text, counts)
    for kind, pattern, check, hide in _RULES:
        pieces: list[str] = []
        position = 0
        for match in pattern.finditer(text):
            number = match["number"]
            if check(number):
                start, end = match.span("number")
                pieces += (text[position:start], hide(number))
                position = end
                counts[kind] += 1
        if pieces:
            text = "".join((*pieces, text[position:]))
    return Masked(text, counts)


_WORTH_A_LOOK = re.compile(r"\d[\d -]{9}|@|(?i:qq|扣扣|微信|薇信|加微|wechat|weixin|vx|wx)")


def _may_hold(text: str) -> bool:
    """Most articles have nothing that the six patterns could match; this one look spares them."""
    return _WORTH_A_LOOK.search(text) is not None


def _digits(number: str) -> str:
    return number.replace(" ", "").replace("-", "")


def _is_citizen(number: str) -> bool:
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    check = _ID_CHECKS[sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False)) % 11]
    return check == number[-1].upper() and born.year >= 1900


def _is_card(number: str) -> bool:
    """Luhn's check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in reversed(_digits(number))]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return len(set(digits)) > 2 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_person(name: str) -> bool:
    return name.lower() not in _OFFICES


def _keeping(first: int, last: int) -> Callable[[str], str]:
    """Hides all but the first and last so many digits of a number; separators stay."""

    def hide(number: str) -> str:
        digits = [index for index, character in enumerate(number) if character not in " -"]
        hidden = digits[first:-last]
        return "".join(MASK if index in hidden else character for index, character in enumerate(number))

    return hide


def _beginning(length: int) -> Callable[[str], str]:
    """Hides all of a name but its beginning."""
    return lambda name: name[:length] + MASK * (len(name) - length)


def _always(_: str) -> bool:
    return True


_RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], bool], Callable[[str], str]], ...] = (
    ("id_card", _ID_CARD, _is_citizen, _keeping(3, 2)),
    ("bank_card", _BANK_CARD, _is_card, _keeping(4, 4)),
    ("mobile", _MOBILE, _always, _keeping(3, 4)),
    ("email", _EMAIL, _is_person, _beginning(1)),
    ("qq", _QQ, _always, _beginning(2)),
    ("wechat", _WECHAT, _always, _beginning(2)),
)
"""In this order: a card's digits must not be taken for a mobile number."""
