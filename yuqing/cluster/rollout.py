"""Rolling out an adapter: make it active, wait until every server serves it, ask a canary, and go back when that fails.

The order of things: nothing is changed before the servers and the adapter were looked at; afterwards every failure, also Ctrl-C,
makes the adapter before it active again, unless somebody else has changed it meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from yuqing.adapters import (
    Active,
    ActiveConflict,
    AdapterError,
    Seen,
    activate,
    check_compared,
    read_active,
    read_card,
    serves,
    withdraw,
)
from yuqing.cluster.connection import Cluster, ClusterError
from yuqing.cluster.reach import pod_port, reach
from yuqing.cluster.status import pod_objects
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

CANARY = Path(__file__).with_name("canary.jsonl")
_PORT = 8001
_ASK_S = 10  # a list of models; a server that is loading weights may be slow to answer
Tell = Callable[[str], None]


class RolloutFailed(YuqingError):
    """The new adapter was not served everywhere, or its canary failed; the one before is active again."""


@dataclass(frozen=True)
class Outcome:
    """A rollout that went well: what is active, on which pods, and the canary's share of right sentiments."""

    active: Active
    pods: tuple[str, ...]
    agreement: float


def roll_out(
    cluster: Cluster,
    store: ObjectStore,
    settings: Settings,
    name: str,
    *,
    by: str,
    canary: Path = CANARY,
    force: str = "",
    tell: Tell = lambda _: None,
) -> Outcome:
    """Make the adapter active and prove it. `tell` hears of each step; `force` is why no comparison is asked for.

    Raises before anything is changed: AdapterError (not on S3, not compared with the active one), ClusterError (no server, no
    right), YuqingError (no API key, a canary that cannot be read). Afterwards RolloutFailed, with the reason and what is
    active now.
    """
    questions = _questions(canary)
    card = read_card(store, name)
    _pods(cluster)
    before = read_active(store)
    if before.active and not force:
        check_compared(card, name, before.active)
    active = activate(store, name, by=f"{by} (forced: {force})" if force else by, seen=before)
    tell(f"{name} is active (generation {active.generation}); waiting for the servers")
    try:
        pods = wait_until_served(cluster, settings, name, tell)
        agreement = 0.0
        for pod in pods:  # each has weights of its own in memory, which may be the wrong ones
            agreement = _ask_canary(cluster, settings, pod, questions, tell)
        return Outcome(active, tuple(pod["metadata"]["name"] for pod in pods), agreement)
    except (YuqingError, KeyboardInterrupt) as error:
        reason = error.message if isinstance(error, YuqingError) else "it was interrupted"
        back = _go_back(cluster, store, settings, before, active, by, tell)
        raise RolloutFailed(f"the adapter {name} was not rolled out: {reason}", cure=back) from error


def wait_until_served(cluster: Cluster, settings: Settings, name: str | None, tell: Tell) -> list[dict[str, Any]]:
    """Wait until every server that runs serves the adapter, and answer their pods. Raises RolloutFailed when the time is over."""
    deadline = time.monotonic() + settings.cluster.rollout_timeout_s
    told = ""
    while True:
        pods = _pods(cluster)
        reasons = {pod["metadata"]["name"]: _why_not(cluster, settings, pod, name) for pod in pods}
        missing = {pod: reason for pod, reason in reasons.items() if reason}
        if not missing:
            tell(f"all {len(pods)} servers serve it")
            return pods
        words = "; ".join(f"{pod}: {reason}" for pod, reason in missing.items())
        if words != told:
            tell(f"{len(pods) - len(missing)} of {len(pods)} servers serve it; {words}")
            told = words
        if time.monotonic() > deadline:
            raise RolloutFailed(
                f"after {settings.cluster.rollout_timeout_s:g} s these servers do not serve it: {words}",
                cure="look at `yuqing k8s logs llm`, or wait longer with YUQING_CLUSTER__ROLLOUT_TIMEOUT_S",
            )
        time.sleep(settings.cluster.poll_s)


def _pods(cluster: Cluster) -> list[dict[str, Any]]:
    """The servers that run and are to stay. Raises ClusterError when there is none."""
    found = [
        pod
        for pod in pod_objects(cluster, "llm")
        if (pod.get("status") or {}).get("phase") in ("Running", "Pending")
        and not pod["metadata"].get("deletionTimestamp")
    ]
    if not found:
        raise ClusterError(
            f"no server of the language model runs in namespace {cluster.namespace}",
            cure="scale its Deployment up, or use `yuqing llm adapters activate`, which waits for nobody",
        )
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def _why_not(cluster: Cluster, settings: Settings, pod: dict[str, Any], name: str | None) -> str:
    """Why a server does not serve the adapter; "" when it does. Raises ClusterError without the right to reach it."""
    if (pod.get("status") or {}).get("phase") != "Running":
        return "it does not run yet"
    key = settings.llm.api_key.get_secret_value() if settings.llm.api_key else ""
    with ExitStack() as stack:
        url = stack.enter_context(reach(cluster, pod, pod_port(pod, _PORT)))
        try:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = httpx.get(f"{url}/v1/models", headers=headers, timeout=_ASK_S, trust_env=False)
            if answer.status_code in (401, 403):
                raise ClusterError("the servers refuse the API key", cure="set YUQING_LLM__API_KEY to theirs")
            cards = answer.json()["data"] if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return f"it does not answer ({type(error).__name__})"
    if cards is None:
        return f"it answers HTTP {answer.status_code}"
    names = ", ".join(str(card.get("root") or card.get("id")).rpartition("/")[2] for card in cards)
    return "" if serves(cards, name) else f"it serves {names or 'nothing'}"


def _questions(path: Path) -> list[dict[str, Any]]:
    """The canary's lines: {"id", "title", "text", "companies", "sentiment"}. Raises YuqingError for another file."""
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        for item in found:
            if item["sentiment"] not in ("positive", "neutral", "negative") or not isinstance(item["text"], str):
                raise ValueError(f"{item['id']}: a sentiment or a text is missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise YuqingError(
            f"the canary {path} cannot be read: {error!r}",
            cure='give JSON lines of {"id", "title", "text", "companies", "sentiment"}',
        ) from None
    if not found:
        raise YuqingError(f"the canary {path} is empty", cure="give it a line at least")
    return found


def _ask_canary(
    cluster: Cluster, settings: Settings, pod: dict[str, Any], questions: list[dict[str, Any]], tell: Tell
) -> float:
    """The share of right sentiments when this server analyses the canary's texts. Raises RolloutFailed."""
    name = pod["metadata"]["name"]
    with reach(cluster, pod, pod_port(pod, _PORT)) as url:
        answers = analyse(f"{url}/v1", settings, questions)
    agreement, problem = judge(questions, answers, settings.cluster.canary_agreement)
    if problem:
        raise RolloutFailed(f"the canary failed on {name}: {problem}")
    tell(f"{name}: canary passed, {agreement:.0%} of the sentiments are right")
    return agreement


def judge(questions: Iterable[dict[str, Any]], answers: Iterable[dict[str, Any]], least: float) -> tuple[float, str]:
    """The share of right sentiments, and what is wrong with the answers ("" when nothing is).

    Every text needs a whole answer with a verdict for each of its companies; `least` is the share of sentiments to be right.
    """
    by_id = {str(answer.get("id")): answer for answer in answers}
    right, wrong = 0, []
    asked = list(questions)
    for question in asked:
        answer = by_id.get(str(question["id"]), {})
        if "sentiment" not in answer:
            return 0.0, f"{question['id']}: {answer.get('error') or 'no answer'}"
        judged = {str(verdict.get("company")) for verdict in answer.get("verdicts") or []}
        if missing := set(question.get("companies") or []) - judged:
            return 0.0, f"{question['id']}: no verdict for {', '.join(sorted(missing))}"
        if answer["sentiment"] == question["sentiment"]:
            right += 1
        else:
            wrong.append(f"{question['id']} was called {answer['sentiment']}")
    agreement = right / len(asked)
    return agreement, "" if agreement >= least else f"{right} of {len(asked)} sentiments are right: {', '.join(wrong)}"


def analyse(url: str, settings: Settings, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of `yuqing analyze --jsonl -` put to one server: the stage itself, in a process, without triage.

    Raises RolloutFailed when it ends without answers.
    """
    asked = [{key: item[key] for key in ("id", "title", "text", "companies") if key in item} for item in questions]
    environment = {**os.environ, "YUQING_LLM__URL": url, "YUQING_LLM__MODEL": settings.llm.model}
    if settings.llm.api_key:
        environment["YUQING_LLM__API_KEY"] = settings.llm.api_key.get_secret_value()
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in asked)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "yuqing", "analyze", "--jsonl", "-"],
            input=lines.encode(),
            capture_output=True,
            env=environment,
            timeout=settings.cluster.rollout_timeout_s,
            check=False,
        )
        found = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise RolloutFailed(f"the canary was not answered: {type(error).__name__}") from None
    if not found:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-2:]
        raise RolloutFailed(f"the canary was not answered: {' '.join(last)}")
    return found


def _go_back(
    cluster: Cluster, store: ObjectStore, settings: Settings, before: Seen, active: Active, by: str, tell: Tell
) -> str:
    """Make what was active before active again; the words that tell what is active now."""
    old = before.active.adapter if before.active else None
    named = old or ("the bare base" if before.active else "what the servers' settings say")
    if before.active and (before.active.adapter, before.active.sha256) == (active.adapter, active.sha256):
        return f"it had been active before, and still is (generation {active.generation})"
    try:
        seen = read_active(store)
        if seen.active != active:
            raise ActiveConflict("")
        if before.active:
            activate(store, old, by=by, seen=seen)
        else:
            withdraw(store, seen)
    except ActiveConflict:
        return "somebody else has made another adapter active meanwhile; that was left as it is"
    except (AdapterError, YuqingError) as error:
        return f"going back to {named} failed, {active.adapter} is still active: {error.message}"
    tell(f"gone back to {named}; waiting for the servers")
    if before.active:
        try:
            wait_until_served(cluster, settings, old, tell)
        except YuqingError as error:
            return f"{named} is active again, but not served everywhere: {error.message}"
    return f"{named} is active again"
