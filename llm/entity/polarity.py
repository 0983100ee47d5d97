"""Polarity of a clause by words, negation and direction: what rules can say without a model."""

import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_WEIGHTS = {"++": 2.0, "+": 1.0, "0": 0.0, "-": -1.0, "--": -2.0}
# Said close before a word they turn it: "没有一块空鼓", "未发现问题", "零故障".
_NEGATION = re.compile(r"(?:不|没有?|未|无|零|非|从没|从不|毫无|并非|没什么|不再|免于|避免)[^，。；！？]{0,4}$")
# A bad thing that becomes less is good, one that becomes more is bad.
_BAD = "投诉 亏损 不良 能耗 漏损 差评 故障 事故 延误 退货 成本 负债 库存 存货 抽成 流失 风险 罚单 价格 负担 损耗 失误 排放 坏账"
_BAD_THING = f"(?:{_BAD.replace(' ', '|')})"
_LESS = re.compile(_BAD_THING + r"[^，。；！？]{0,8}?(?:下降|降至|降到|减少|下滑|降低|收窄|最低|少了)")
_MORE = re.compile(
    _BAD_THING + r"[^，。；！？]{0,8}?(?:上升|增长|增加|翻番|扩大|走高|高企|翻倍|上涨|连续[^，。]{1,4}上升)"
)
_FALL_FROM = re.compile(r"从[^，。；！？]{1,8}降[到至](?!零)")
# Irony has forms: thanks for a harm, laughter, praise that is marked as such.
_MOCKING = re.compile(r"感谢[^，。]{1,8}[，,](?:让|治好|教会)|可真[会是]|[哈呵]{2}|诚意满满|真是(?:贴心|大气|够可以)")


@dataclass(frozen=True)
class Polarity:
    """Weighted counts of words for and against, and of forms of irony."""

    good: float
    bad: float
    mocking: int

    @property
    def balance(self) -> float:
        """Between -1 and 1; 0 when nothing or as much is said for as against."""
        return (self.good - self.bad) / (self.good + self.bad) if self.good + self.bad else 0.0

    @property
    def strength(self) -> float:
        """How much is said at all: the logarithm of the weighted count."""
        return math.log1p(self.good + self.bad)


@cache
def _lexicon() -> tuple[re.Pattern[str], dict[str, float]]:
    weights: dict[str, float] = {}
    for line in (resources.files("llm.entity") / "polarity.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            sign, *words = line.split()
            weights |= {word: _WEIGHTS[sign] for word in words if word not in weights or sign == "0"}
    longest = sorted(weights, key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest))), weights


def polarity(text: str) -> Polarity:
    """What the words of the text say. Works on any length; a negation reaches four characters within its clause."""
    pattern, weights = _lexicon()
    good = bad = 0.0
    directed: list[tuple[int, int]] = []
    for rule, sign in ((_LESS, 1.0), (_FALL_FROM, 0.5), (_MORE, -1.0)):
        for match in rule.finditer(text):
            if any(start < match.end() and match.start() < end for start, end in directed):
                continue
            directed.append(match.span())
            good, bad = (good + sign, bad) if sign > 0 else (good, bad - sign)
    for match in pattern.finditer(text):
        if any(start <= match.start() < end for start, end in directed):
            continue
        weight = weights[match.group()]
        if weight and _NEGATION.search(text, max(0, match.start() - 7), match.start()):
            weight *= -0.5 if weight > 0 else -0.7  # "not bad" is less than "good"
        good, bad = (good + weight, bad) if weight > 0 else (good, bad - weight)
    return Polarity(good, bad, len(_MOCKING.findall(text)))
