"""The language model's server at 1, 8 and 32 requests at once, against a plain transformers loop over the same model.

    python benchmarks/serve.py [--requests 32] [--plain 2] [--quick]

Starts vLLM with the project's own command line (with prefix caching, then without), asks it for whole analyses of INEWS's
documents with their companies, streamed, then lets transformers generate answers to the same prompts one after another in this
process. Prints one JSON line: requests_per_s, tokens_per_s, ttft_ms, p95_ms at 32 (and for 1, 8, 32 under "at_1", "at_8",
"at_32"), valid_json (share of answers that keep to the schema), plain_requests_per_s, plain_tokens_per_s, throughput_ratio_32
(of tokens a second) and request_ratio_32, first_token_ms and first_token_uncached_ms (medians of one request at a time with and
without the cache of the shared instruction), prefix_cache_gain (the second over the first), prefix_tokens (how many tokens all
prompts share), start_s. About 8 minutes on 2 cores. --quick: nothing at 8, no start without the cache.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from llm import inews
from llm.analysis.analyze import token_limit
from llm.analysis.prompts import Company, Prompt, build_prompt
from llm.analysis.schema import InvalidAnswer, answer_schema, read_answer
from llm.dataset import without_leaks
from llm.merge import base_path, merged_path
from llm.registry import of_the_settings
from llm.weak_labels import find_companies
from yuqing.embedded import ports, processes, vllm
from yuqing.settings import Settings, load_settings

KEY = "key-of-the-benchmark"


@dataclass(frozen=True)
class Question:
    """A prompt with the schema of its answer and the most tokens that it may take."""

    prompt: Prompt
    schema: dict[str, Any]
    limit: int


@dataclass(frozen=True)
class Answered:
    """One streamed answer: seconds to the first token and to the end, tokens, and whether it keeps to the schema."""

    first_s: float
    whole_s: float
    tokens: int
    valid: bool


def questions(count: int, settings: Settings) -> list[Question]:
    """Documents of INEWS's dev split that name companies, each text once."""
    found = []
    for news in without_leaks(inews.load("dev"), []):
        names = find_companies(news.title, news.text, 2)
        if names:
            companies = [Company(name) for name in names]
            prompt = build_prompt(news.title, news.text, companies, budget=settings.llm.text_tokens)
            shown = [news.title, *(news.text[start:end] for start, end in prompt.sentences)]
            named = [any(name in part for part in shown) for name in names]
            schema = answer_schema(named, len(prompt.sentences))
            found.append(Question(prompt, schema, token_limit(len(names), settings.llm)))
        if len(found) == count:
            break
    return found


@contextmanager
def serving(settings: Settings, model: Path, log: Path) -> Iterator[tuple[str, float]]:
    """vLLM on a free port; yields its address and the seconds until it analysed."""
    port = ports.choose(28201)
    url = f"http://{ports.HOST}:{port}/v1"
    began = time.monotonic()
    with log.open("wb") as output:
        child = processes.start(
            vllm.command(model, ports.HOST, port, settings.llm),
            environment=vllm.environment(KEY, settings.llm),
            output=output,
        )
    try:
        while not vllm.is_ready(url, KEY, settings.llm.model):
            if child.poll() is not None or time.monotonic() - began > settings.embedded.llm_start_timeout_s:
                raise SystemExit(f"vLLM did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield url, time.monotonic() - began
    finally:
        processes.stop(child, 15, 20)


async def _ask(client: httpx.AsyncClient, url: str, question: Question, model: str, limit: int | None) -> Answered:
    body = {
        "model": model, "messages": list(question.prompt.messages), "max_tokens": limit or question.limit, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": question.schema, "strict": True}},
    }  # fmt: skip
    began, first, text, tokens = time.monotonic(), 0.0, "", 0
    async with client.stream("POST", f"{url}/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            event = json.loads(line.removeprefix("data: "))
            tokens = (event.get("usage") or {}).get("completion_tokens") or tokens
            for choice in event.get("choices") or ():
                piece = choice["delta"].get("content") or ""
                first = first or (time.monotonic() - began if piece else 0.0)
                text += piece
    return Answered(first, time.monotonic() - began, tokens, _keeps(text, question))


def _keeps(text: str, question: Question) -> bool:
    try:
        read_answer(text, question.prompt.companies)
    except InvalidAnswer:
        return False
    return True


async def load(
    url: str, asked: Sequence[Question], at_once: int, model: str, limit: int | None = None
) -> tuple[dict[str, float], list[Answered]]:
    """Ask all, so many at once; `limit` cuts the answers after so many tokens."""
    room = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=600,
        trust_env=False,
        limits=httpx.Limits(max_connections=64),
    ) as client:

        async def one(question: Question) -> Answered:
            async with room:
                return await _ask(client, url, question, model, limit)

        began = time.monotonic()
        answers = await asyncio.gather(*map(one, asked))
        seconds = time.monotonic() - began
    whole = sorted(each.whole_s for each in answers)
    return {
        "requests_per_s": round(len(answers) / seconds, 3),
        "tokens_per_s": round(sum(each.tokens for each in answers) / seconds, 1),
        "ttft_ms": round(1000 * statistics.median(each.first_s for each in answers)),
        "p95_ms": round(1000 * whole[min(len(whole) - 1, round(0.95 * (len(whole) - 1)))]),
        "requests": len(answers),
    }, answers


def _first_token_ms(url: str, asked: Sequence[Question], model: str) -> float:
    """Median time to the first token of one request at a time, after one that leaves the instruction in the cache."""
    asyncio.run(load(url, asked[:1], 1, model, limit=1))
    return asyncio.run(load(url, asked[1:], 1, model, limit=1))[0]["ttft_ms"]


def _shared(folder: Path, asked: Sequence[Question]) -> int:
    """How many tokens the prompts have in common at their beginning."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    rows = [
        tokenizer.apply_chat_template(list(question.prompt.messages), add_generation_prompt=True)["input_ids"]
        for question in asked
    ]
    return next(place for place, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1)


def plain(folder: Path, asked: Sequence[Question]) -> dict[str, float]:
    """The same prompts through transformers' generate, one after another, as long as an answer of the server may be."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    number = torch.bfloat16 if vllm.number_format() == "bfloat16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=number).eval()
    tokens, began = 0, time.monotonic()
    for question in asked:
        ids = tokenizer.apply_chat_template(
            list(question.prompt.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            made = model.generate(**ids, max_new_tokens=question.limit, do_sample=False)
        tokens += made.shape[1] - ids["input_ids"].shape[1]
    seconds = time.monotonic() - began
    return {"plain_requests_per_s": round(len(asked) / seconds, 3), "plain_tokens_per_s": round(tokens / seconds, 1)}


def measure(requests: int, plain_requests: int, *, quick: bool) -> dict[str, Any]:
    """All of it; see the module's docstring."""
    settings = load_settings()
    adapter = of_the_settings(settings)
    model = merged_path(settings, adapter) if adapter else base_path(settings)
    asked = questions(requests + 19, settings)
    first, alone, some, many = asked[:9], asked[9:11], asked[11:19], asked[19:]
    found: dict[str, Any] = {"prefix_tokens": _shared(model, asked)}
    answers: list[Answered] = []
    name = settings.llm.model
    with TemporaryDirectory() as folder:
        with serving(settings, model, Path(folder) / "vllm.log") as (url, start_s):
            found["start_s"] = round(start_s, 1)
            found["first_token_ms"] = _first_token_ms(url, first, name)
            for at_once, chosen in ((1, alone), (8, some), (32, many)):
                if quick and at_once == 8:
                    continue
                found[f"at_{at_once}"], some_answers = asyncio.run(load(url, chosen, at_once, name))
                answers += some_answers
                print(json.dumps(found), file=sys.stderr, flush=True)  # half an answer, should the rest be cut off
        found |= plain(model, many[:plain_requests])
        print(json.dumps(found), file=sys.stderr, flush=True)
        if not quick:
            bare = settings.model_copy(update={"llm": settings.llm.model_copy(update={"prefix_caching": False})})
            with serving(bare, model, Path(folder) / "vllm-bare.log") as (url, _):
                found["first_token_uncached_ms"] = _first_token_ms(url, first, name)
            found["prefix_cache_gain"] = round(found["first_token_uncached_ms"] / max(1, found["first_token_ms"]), 2)
    top = found["at_32"]
    found |= {name: top[name] for name in ("requests_per_s", "tokens_per_s", "ttft_ms", "p95_ms")}
    found["valid_json"] = round(sum(each.valid for each in answers) / len(answers), 4)
    found["request_ratio_32"] = round(top["requests_per_s"] / found["plain_requests_per_s"], 2)
    found["throughput_ratio_32"] = round(top["tokens_per_s"] / found["plain_tokens_per_s"], 2)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--plain", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(json.dumps(measure(given.requests, given.plain, quick=given.quick)))
