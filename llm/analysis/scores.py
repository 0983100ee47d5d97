"""From log-probabilities of the label tokens to a score and a confidence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm.analysis.client import Token, probability
from llm.analysis.schema import InvalidAnswer
from yuqing.contracts import SENTIMENTS, Sentiment

# Inside a JSON string the quotes are escaped, so this never matches in a summary.
_LABEL = re.compile(rb'"sentiment"\s*:\s*"')


@dataclass(frozen=True)
class Label:
    """A sentiment with score = P(positive) - P(negative) and confidence = P(of this label), over the three labels."""

    sentiment: Sentiment
    score: float
    confidence: float


def _share(candidate: bytes, head: bytes, label: str) -> bool:
    """Whether a candidate token, written after `head` of it was already certain, begins this label and no other."""
    if not candidate.startswith(head):
        return False
    rest = candidate[len(head) :]

    def fits(name: str) -> bool:
        return bool(rest) and (name.encode().startswith(rest) or rest.startswith(name.encode()))

    return fits(label) and not any(fits(other) for other in SENTIMENTS if other != label)


def labels(tokens: Sequence[Token]) -> list[Label]:
    """The labels of an answer in the order in which it writes them: the document's first, then the companies'.

    Raises InvalidAnswer when the server sent no log-probabilities, or none of a label.
    """
    if not tokens:
        raise InvalidAnswer("the server sends no log-probabilities", cure="use a server that supports `logprobs`")
    text = b"".join(token.data for token in tokens)
    starts, position = [], 0
    for token in tokens:
        starts.append(position)
        position += len(token.data)
    found = []
    for match in _LABEL.finditer(text):
        index = max(i for i, start in enumerate(starts) if start <= match.end())
        if starts[index] + len(tokens[index].data) <= match.end():
            break  # cut before the label
        head = text[starts[index] : match.end()]
        shares: dict[Sentiment, float] = dict.fromkeys(SENTIMENTS, 0.0)
        for candidate, logprob in tokens[index].rivals:
            for label in SENTIMENTS:
                if _share(candidate, head, label):
                    shares[label] += probability(logprob)
        total = sum(shares.values())
        if total <= 0:
            raise InvalidAnswer("the server's log-probabilities hold none of the labels")
        written = [label for label in SENTIMENTS if text[match.end() :].startswith(label.encode())]
        sentiment = written[0] if written else max(shares, key=lambda label: shares[label])
        score = (shares["positive"] - shares["negative"]) / total
        found.append(Label(sentiment, round(score, 4), round(shares[sentiment] / total, 4)))
    return found
