"""Training sets in the product's own answer format, from INEWS: human document labels, weak labels for the rest."""

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llm import inews
from llm.analysis.prompts import PROMPT_VERSION, Company, build_prompt
from llm.analysis.schema import Answer, write_answer
from llm.weak_labels import (
    COMPANIES,
    Keywords,
    find_companies,
    weak_category,
    weak_company,
    weak_keywords,
    weak_summary,
)

# Tokens of text in a prompt. Whole answers see what production sees (settings.llm.text_tokens); short samples teach the
# label cheaply.
FULL_BUDGET = 230
SHORT_BUDGETS = (60, 90, 150)
COMPANIES_A_SAMPLE = 3
# Share of full samples that also ask about a company that the document does not name.
ABSENT_SHARE = 0.06
# Share of positive documents among the short samples; a tenth of INEWS is positive, which is learnt too slowly.
POSITIVE_SHARE = 0.15


@dataclass(frozen=True)
class Sample:
    """A chat prompt and its answer. `full`: the whole answer is learnt; otherwise only the document's sentiment."""

    messages: tuple[dict[str, str], ...]
    answer: str
    full: bool
    sentiment: str


def text_key(document: inews.LabelledNews) -> str:
    """What two copies of one document share: the letters of its text (of its title when there is hardly a text)."""
    letters = "".join(character for character in document.text if character.isalnum())
    if len(letters) < 20:
        letters = "".join(character for character in document.title if character.isalnum())
    return hashlib.sha256(letters.lower()[:2000].encode()).hexdigest()


def without_leaks(
    documents: Sequence[inews.LabelledNews], held_out: Iterable[inews.LabelledNews]
) -> list[inews.LabelledNews]:
    """The documents whose text occurs in no held-out document, each text once."""
    seen = {text_key(document) for document in held_out}
    kept = []
    for document in documents:
        key = text_key(document)
        if key not in seen:
            seen.add(key)
            kept.append(document)
    return kept


def make_sample(
    document: inews.LabelledNews, *, full: bool, budget: int, extract: Keywords, chance: random.Random
) -> Sample:
    """One sample. `extract(text, n)` gives the n best keywords of a text."""
    names = find_companies(document.title, document.text, COMPANIES_A_SAMPLE)
    if full and chance.random() < ABSENT_SHARE:
        absent = [name for name in COMPANIES if name not in document.title and name not in document.text]
        names = [*names[: COMPANIES_A_SAMPLE - 1], chance.choice(absent)]
    prompt = build_prompt(document.title, document.text, [Company(name) for name in names], budget=budget)
    if not full:
        return Sample(prompt.messages, f'{{"sentiment":"{document.sentiment}"', full, document.sentiment)
    answer = Answer(
        sentiment=document.sentiment,
        category=weak_category(document.title),
        summary=weak_summary(document.title, document.text),
        keywords=weak_keywords(document.title, document.text, extract),
        companies=[
            weak_company(number, name, document.title, document.text, prompt.sentences, document.sentiment)
            for number, name in enumerate(names, 1)
        ],
    )
    return Sample(prompt.messages, write_answer(answer), full, document.sentiment)


def build(
    documents: Sequence[inews.LabelledNews], *, full: int, labels: int, seed: int, extract: Keywords
) -> list[Sample]:
    """`full` whole-answer samples (of documents that name companies, as far as there are any) and `labels` short ones.

    POSITIVE_SHARE of the short ones are positive. No document is used twice. Raises ValueError when there are too few documents.
    """
    if full + labels > len(documents):
        raise ValueError(f"{full} + {labels} samples asked of {len(documents)} documents")
    chance = random.Random(seed)  # noqa: S311
    order = list(range(len(documents)))
    chance.shuffle(order)
    named = {i for i in order if find_companies(documents[i].title, documents[i].text, 1)}
    # Two in three of the whole answers are about companies, the rest about none.
    whole = sorted(order[: 6 * full], key=lambda i: i not in named)[: 2 * full // 3]
    taken = set(whole)
    whole += [i for i in order if i not in taken and i not in named][: full - len(whole)]
    taken = set(whole)
    left = [i for i in order if i not in taken]
    positive = [i for i in left if documents[i].sentiment == "positive"][: round(POSITIVE_SHARE * labels)]
    short = positive + [i for i in left if documents[i].sentiment != "positive"][: labels - len(positive)]
    samples = [make_sample(documents[i], full=True, budget=FULL_BUDGET, extract=extract, chance=chance) for i in whole]
    for i in short:
        budget = chance.choice(SHORT_BUDGETS)
        samples.append(make_sample(documents[i], full=False, budget=budget, extract=extract, chance=chance))
    chance.shuffle(samples)
    return samples


def jieba_keywords(text: str, count: int) -> list[str]:
    """The words with the highest TF-IDF by jieba's own frequencies. Raises DatasetError when jieba is not installed."""
    try:
        import jieba
        import jieba.analyse
    except ImportError:
        raise inews.DatasetError("building a data set needs jieba", cure="pip install 'yuqing[train]'") from None
    jieba.setLogLevel("ERROR")
    return [str(word) for word in jieba.analyse.extract_tags(text, topK=count)]


def inews_training_set(*, full: int, labels: int, seed: int) -> list[Sample]:
    """Samples of INEWS's train split, without the documents whose text occurs in dev or test."""
    documents = without_leaks(inews.load("train"), [*inews.load("dev"), *inews.load("test")])
    return build(documents, full=full, labels=labels, seed=seed, extract=jieba_keywords)


def dev_samples(count: int, *, seed: int = 1, budget: int = 90) -> list[Sample]:
    """Prompts of so many documents of INEWS's dev split, each text once, with the document's label.

    `budget`: tokens of text a prompt holds.
    """
    documents = without_leaks(inews.load("dev"), [])
    chance = random.Random(seed)  # noqa: S311
    chance.shuffle(documents)
    return [
        make_sample(document, full=False, budget=budget, extract=jieba_keywords, chance=chance)
        for document in documents[:count]
    ]


def write_samples(samples: Sequence[Sample], path: Path) -> str:
    """Write JSON lines; returns the sha256 of what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**asdict(sample), "prompt_version": PROMPT_VERSION}, ensure_ascii=False) for sample in samples]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read_samples(path: Path) -> list[Sample]:
    """Samples of a JSON-lines file. Raises DatasetError naming the line that is broken."""
    samples = []
    # Not splitlines(): the texts hold line separators of Unicode, which JSON leaves as they are.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            samples.append(
                Sample(tuple(record["messages"]), str(record["answer"]), bool(record["full"]), str(record["sentiment"]))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise inews.DatasetError(f"line {number} of {path} is no sample: {error!r}") from None
    if not samples:
        raise inews.DatasetError(f"{path} holds no samples")
    return samples
