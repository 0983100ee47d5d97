"""Documents a second through the running LLM server: all at once, against one after another.

    python benchmarks/analyze.py [--documents 48] [--sequential 8] [--split dev]

Prints one JSON line: documents_per_s, sequential_documents_per_s, ratio, valid (share of analyses that came out), grounded
(share of verdicts with a quote), agreement (share of documents whose sentiment equals the human label), documents, verdicts.
The documents are of INEWS and name at least one company of the weak-label list.
"""

import argparse
import asyncio
import json
import time

from llm import inews
from llm.analysis.analyze import AnalysisResult, analyze_document
from llm.analysis.client import LLMClient
from llm.analysis.prompts import Company
from llm.dataset import without_leaks
from llm.weak_labels import find_companies
from yuqing.endpoints import llm_endpoint
from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings


async def _one(client: LLMClient, news: inews.LabelledNews, settings: Settings) -> AnalysisResult | None:
    companies = [Company(name) for name in find_companies(news.title, news.text, 3)]
    try:
        return await analyze_document(client, news.title, news.text, companies, settings.llm)
    except YuqingError:
        return None


async def measure(split: inews.Split, documents: int, sequential: int) -> dict[str, float]:
    """Analyse so many documents concurrently, then so many others in a plain loop."""
    settings = get_settings()
    news = [item for item in without_leaks(inews.load(split), []) if find_companies(item.title, item.text, 1)]
    chosen, others = news[:documents], news[documents : documents + sequential]
    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        await _one(client, news[-1], settings)  # the shared instruction is in the cache from here on, as in production
        began = time.monotonic()
        results = await asyncio.gather(*(_one(client, item, settings) for item in chosen))
        together = len(chosen) / (time.monotonic() - began)
        began = time.monotonic()
        for item in others:
            await _one(client, item, settings)
        alone = len(others) / (time.monotonic() - began)
    verdicts = [company for result in results if result for company in result.companies]
    right = sum(result.sentiment == item.sentiment for result, item in zip(results, chosen, strict=True) if result)
    return {
        "documents_per_s": round(together, 3),
        "sequential_documents_per_s": round(alone, 3),
        "ratio": round(together / alone, 2),
        "valid": round(sum(result is not None for result in results) / len(chosen), 3),
        "grounded": round(sum(company.grounded for company in verdicts) / max(1, len(verdicts)), 3),
        "agreement": round(right / len(chosen), 3),
        "documents": len(chosen),
        "verdicts": len(verdicts),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=48)
    parser.add_argument("--sequential", type=int, default=8)
    parser.add_argument("--split", choices=("train", "dev", "test"), default="dev")
    given = parser.parse_args()
    print(json.dumps(asyncio.run(measure(given.split, given.documents, given.sequential))))
