"""Samples of labelled documents: human labels where there are some, weak labels (llm/weak_labels.py) for the rest."""

import random
from collections.abc import Sequence

from llm.analysis.prompts import MAX_COMPANIES, Company, Prompt, build_prompt
from llm.analysis.schema import EVIDENCE_LIMIT, TYPE_LIMIT, Answer, CompanyAnswer, write_answer
from llm.dataset import FULL_BUDGET, SHORT_BUDGETS, Sample, make_sample
from llm.evaluation.documents import LabelledCompany, LabelledDocument
from llm.weak_labels import Keywords, weak_category, weak_company, weak_keywords, weak_summary
from yuqing.contracts import RISK_TYPES


def _company(number: int, each: LabelledCompany, document: LabelledDocument, prompt: Prompt) -> CompanyAnswer:
    """The company's human labels; by rules the risk and the evidence that nobody labelled."""
    weak = weak_company(
        number, each.company.name, document.title, document.text, prompt.sentences, each.sentiment
    ).model_copy(update={"sentiment": each.sentiment})
    proof = [
        place
        for place, (start, end) in enumerate(prompt.sentences, 1)
        if any(first < end and start < last for first, last in each.evidence)
    ]
    risk, types = weak.risk, weak.types
    if each.sentiment != "negative":
        risk, types = 0, []
    elif each.risk is not None:
        risk, types = each.risk, [kind for kind in each.types if kind in RISK_TYPES][:TYPE_LIMIT]
    else:
        risk = max(1, risk)
    return weak.model_copy(update={"risk": risk, "types": types, "evidence": (proof or weak.evidence)[:EVIDENCE_LIMIT]})


def whole_sample(document: LabelledDocument, extract: Keywords) -> Sample:
    """A sample with the whole answer about the document's companies, MAX_COMPANIES at most."""
    chosen = document.companies[:MAX_COMPANIES]
    companies = [Company(each.company.name, each.company.aliases) for each in chosen]
    prompt = build_prompt(document.title, document.text, companies, budget=FULL_BUDGET)
    answer = Answer(
        sentiment=document.sentiment,
        category=weak_category(document.title),
        summary=weak_summary(document.title, document.text),
        keywords=weak_keywords(document.title, document.text, extract),
        companies=[_company(number, each, document, prompt) for number, each in enumerate(chosen, 1)],
    )
    return Sample(prompt.messages, write_answer(answer), True, document.sentiment)


def samples_of(documents: Sequence[LabelledDocument], *, whole: float, seed: int, extract: Keywords) -> list[Sample]:
    """A sample a document, in random order: the whole answer for those with labelled companies and for the share `whole` of
    the others (so that the form is not forgotten), the sentiment alone for the rest.
    """
    chance = random.Random(seed)  # noqa: S311
    found = []
    for document in documents:
        if document.companies:
            found.append(whole_sample(document, extract))
            continue
        full = chance.random() < whole
        budget = FULL_BUDGET if full else chance.choice(SHORT_BUDGETS)
        found.append(make_sample(document, full=full, budget=budget, extract=extract, chance=chance))
    chance.shuffle(found)
    return found
