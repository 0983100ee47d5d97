"""The prompt: a fixed instruction first (the server's prefix cache keeps it), then companies, title and numbered sentences.

Training, production and evaluation build their prompts here, so that the adapter sees what it was trained on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from yuqing.text.sentences import Span, clause_spans

PROMPT_VERSION = "analysis-v1"
MAX_COMPANIES = 5  # companies a call; more go into further calls
# A longer sentence is cut at a comma: a quote of half a page proves nothing and costs the whole budget.
SENTENCE_LIMIT = 90
TITLE_LIMIT = 60
# Sentences beside a mention that go in with it.
WINDOW = 1

# What could close the delimiter, open a chat turn (<|im_end|>) or forge a sentence number becomes its full-width twin:
# the reader sees the same, the model's tokenizer something harmless.
_HARMLESS = str.maketrans({"<": "＜", ">": "＞", "[": "［", "]": "］", "|": "｜"})
_SPACE = re.compile(r"[\s\u200b-\u200f\u2028-\u202e\ufeff\x00-\x1f]+")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True)
class Company:
    """A company to judge: its name and the other names that the text may use."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """Chat messages, and for sentence number n of the prompt its span in the text: sentences[n - 1]."""

    messages: tuple[dict[str, str], ...]
    sentences: tuple[Span, ...]
    companies: tuple[str, ...]


@cache
def instruction(version: str = PROMPT_VERSION) -> str:
    """The system message of this version. Raises FileNotFoundError for a version that was never written."""
    return (resources.files("llm") / "prompts" / f"{version}.txt").read_text(encoding="utf-8").strip()


def harmless(text: str) -> str:
    """One line of the text that cannot close a delimiter, start a chat turn or forge a sentence number."""
    return _SPACE.sub(" ", text.translate(_HARMLESS)).strip()


def token_estimate(text: str) -> int:
    """About how many tokens the text takes: 0.68 a Chinese character, 0.35 any other.

    Measured with Qwen2.5's tokenizer on the training news (1.52 characters a token over all).
    """
    wide = len(_WIDE.findall(text))
    return int(wide * 0.68 + (len(text) - wide) * 0.35) + 1


def _choose(text: str, spans: Sequence[Span], names: Sequence[str], budget: int) -> list[int]:
    """Indices of the sentences that fit the budget, in order: the lead first, then those around the mentions, then the rest."""
    mentions = [i for i, (start, end) in enumerate(spans) if any(name and name in text[start:end] for name in names)]
    order = list(range(min(2, len(spans)))) + mentions
    for distance in range(1, WINDOW + 1):
        order += [i + step for i in mentions for step in (distance, -distance) if 0 <= i + step < len(spans)]
    order += range(len(spans))
    chosen: set[int] = set()
    for index in order:
        start, end = spans[index]
        cost = token_estimate(text[start:end]) + 3  # the number and its brackets
        if index in chosen or cost > budget:
            continue
        chosen.add(index)
        budget -= cost
    return sorted(chosen)


def build_prompt(title: str, text: str, companies: Sequence[Company], *, budget: int) -> Prompt:
    """The prompt of one call. `budget` is the number of tokens that the numbered sentences may take, by token_estimate.

    Raises ValueError for more companies than one call takes.
    """
    if len(companies) > MAX_COMPANIES:
        raise ValueError(f"{len(companies)} companies in one call; at most {MAX_COMPANIES}")
    spans = clause_spans(text, SENTENCE_LIMIT)
    names = [name for company in companies for name in (company.name, *company.aliases)]
    chosen = [spans[index] for index in _choose(text, spans, names, budget)]
    listed = " ".join(f"{number}.{_label(company, title, text)}" for number, company in enumerate(companies, 1))
    lines = [f"公司：{listed or '无'}", "<文章>", f"标题：{harmless(title)[:TITLE_LIMIT]}"]
    lines += [f"[{number}]{harmless(text[start:end])}" for number, (start, end) in enumerate(chosen, 1)]
    lines.append("</文章>")
    messages = ({"role": "system", "content": instruction()}, {"role": "user", "content": "\n".join(lines)})
    return Prompt(messages, tuple(chosen), tuple(company.name for company in companies))


def _label(company: Company, title: str, text: str) -> str:
    """The company's name, with the alias that the document uses when it does not use the name."""
    name = harmless(company.name)[:30]
    if company.name in title or company.name in text:
        return name
    used = next((alias for alias in company.aliases if alias and (alias in title or alias in text)), None)
    return f"{name}({harmless(used)[:30]})" if used else name
