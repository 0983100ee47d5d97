"""The language model's server, over the OpenAI-compatible protocol."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from llm.analysis.circuit import Circuit, CircuitOpen, LLMAway
from yuqing.endpoints import LLMEndpoint
from yuqing.errors import YuqingError
from yuqing.settings import LLMSettings

# Statuses worth another try: overload and a server that is going down or coming up.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
# Statuses that are about the request and not about the server.
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
# What vLLM returns at most by default; the label tokens are always among them.
_TOP_LOGPROBS = 20


__all__ = ["CircuitOpen", "LLMAway", "LLMClient", "LLMRefused", "QuestionRefused", "Served", "Token"]


class LLMRefused(YuqingError):
    """The server refuses every request: a wrong key, an unknown model, or another protocol than OpenAI's."""


class QuestionRefused(LLMRefused):
    """The server refuses this one request (it is too long, say); others may do."""


@dataclass(frozen=True)
class Token:
    """A token of an answer as bytes (one may hold half a character) and the log-probabilities of its rivals and itself."""

    data: bytes
    rivals: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True)
class Completion:
    """An answer, whether the token limit cut it, its tokens, and what it cost."""

    text: str
    cut: bool
    tokens: tuple[Token, ...]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Served:
    """What the server says it serves: this goes into every analysis's lineage."""

    engine: str
    model: str
    adapter: str | None


def _token(entry: dict[str, Any]) -> Token:
    def data(item: dict[str, Any]) -> bytes:
        found = item.get("bytes")
        return bytes(found) if found is not None else str(item["token"]).encode()

    rivals = tuple((data(rival), float(rival["logprob"])) for rival in entry.get("top_logprobs") or ())
    return Token(data(entry), rivals or ((data(entry), float(entry.get("logprob", 0.0))),))


def _completion(body: dict[str, Any]) -> Completion:
    choice, usage = body["choices"][0], body.get("usage") or {}
    entries = (choice.get("logprobs") or {}).get("content") or ()
    return Completion(
        text=choice["message"].get("content") or "",
        cut=choice.get("finish_reason") == "length",
        tokens=tuple(_token(entry) for entry in entries),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
    )


def split_served_name(root: str) -> tuple[str, str | None]:
    """Base and adapter of a served folder: merged weights lie in "<base>+<adapter>"."""
    name = root.rstrip("/").rsplit("/", 1)[-1]
    base, plus, adapter = name.partition("+")
    return base, adapter if plus else None


class LLMClient:
    """Requests with bounded concurrency, time limits, retries with jitter and a circuit breaker.

    An asynchronous context manager. Every method may raise CircuitOpen, which is an LLMAway.
    """

    def __init__(
        self, endpoint: LLMEndpoint, settings: LLMSettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._room = asyncio.Semaphore(settings.concurrency)
        self._circuit = Circuit.from_settings("the language model's server", settings)
        headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=settings.concurrency + 1),
            transport=transport,
            trust_env=False,  # a proxy of the environment is not for a server named in our own settings
        )

    async def __aenter__(self) -> "LLMClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def _away(self, reason: str) -> LLMAway:
        return LLMAway(
            f"the language model's server at {self._endpoint.url} does not answer: {reason}",
            cure="start the embedded one with `yuqing up`, or check YUQING_LLM__URL; `yuqing doctor` tells more",
        )

    async def _request(self, method: str, path: str, body: dict[str, Any] | None, attempts: int) -> dict[str, Any]:
        reason = ""
        for attempt in range(attempts):
            if attempt:
                # Full jitter, so that the requests that failed together do not come back together.
                await asyncio.sleep(random.uniform(0, min(self._settings.retry_most_s, 0.5 * 2**attempt)))  # noqa: S311
            with self._circuit.trial() as trial:
                found = await self._try(method, path, body, last=attempt + 1 == attempts)
                if not isinstance(found, str):
                    trial.succeeded()
                    return found
                reason = found
                trial.failed(reason)
        raise self._away(reason)

    async def _try(self, method: str, path: str, body: dict[str, Any] | None, *, last: bool) -> dict[str, Any] | str:
        """What the server answers, or why it could not; what another try does not mend is raised."""
        try:
            answer = await self._http.request(method, self._endpoint.url + path, json=body)
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        if answer.status_code in _PASSING:
            return f"HTTP {answer.status_code}"
        # While one adapter takes another's place the model's name is unknown for a moment (llm/sync.py).
        if answer.status_code == 404 and method == "POST" and not last:
            return "HTTP 404"
        if answer.status_code in (401, 403):
            raise LLMRefused(f"{self._endpoint.url} refuses the API key", cure="set YUQING_LLM__API_KEY")
        if answer.status_code >= 400:
            kind = QuestionRefused if answer.status_code in _ABOUT_THE_REQUEST else LLMRefused
            raise kind(
                f"{self._endpoint.url}{path} answers HTTP {answer.status_code}: {answer.text[:300]}",
                cure="check YUQING_LLM__MODEL and the server's log",
            )
        try:
            found = answer.json()
        except ValueError:
            found = None
        return found if isinstance(found, dict) else f"what it sends is not a JSON object: {answer.text[:80]!r}"

    async def complete(self, messages: Sequence[dict[str, str]], schema: dict[str, Any], max_tokens: int) -> Completion:
        """One answer under the schema, greedy, with log-probabilities. Raises LLMAway, LLMRefused."""
        body = {
            "model": self._endpoint.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": _TOP_LOGPROBS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": True},
            },
        }
        async with self._room:
            answer = await self._request("POST", "/chat/completions", body, self._settings.attempts)
        try:
            return _completion(answer)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise LLMRefused(
                f"{self._endpoint.url} answers in another form than OpenAI's: {error!r}", cure="check YUQING_LLM__URL"
            ) from None

    async def served(self) -> Served:
        """What the server serves under the configured name. Raises LLMAway, LLMRefused when it does not serve it."""
        answer = await self._request("GET", "/models", None, 2)
        cards = {str(card.get("id")): card for card in answer.get("data") or () if isinstance(card, dict)}
        card = cards.get(self._endpoint.model)
        if card is None:
            raise LLMRefused(
                f"{self._endpoint.url} serves {', '.join(sorted(cards)) or 'nothing'}, not {self._endpoint.model}",
                cure="set YUQING_LLM__MODEL",
            )
        engine = str(card.get("owned_by") or "unknown")
        parent = card.get("parent")
        if parent:  # an adapter loaded at run time
            root = str((cards.get(str(parent)) or {}).get("root") or parent)
            # The folder has the adapter's whole name; the model's name is the one that clients ask for.
            folder = str(card.get("root") or "").rstrip("/").rsplit("/", 1)[-1]
            return Served(engine, split_served_name(root)[0], folder or str(card["id"]))
        model, adapter = split_served_name(str(card.get("root") or card["id"]))
        return Served(engine, model, adapter)


def probability(logprob: float) -> float:
    """exp, with the -9999 that vLLM writes for impossible tokens as 0."""
    return math.exp(logprob) if logprob > -100 else 0.0
