"""`yuqing llm sync`: what `adapters/active.json` says, applied to the server beside it.

A server that was started with adapter_mode runtime loads the adapter in place of the old one; any other gets the merged
weights made ready and is then asked to end: whoever keeps it running (`yuqing up`, Kubernetes) starts it again, and `yuqing llm
serve` takes what is active. Jobs wait meanwhile.
"""

import ipaddress
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from llm.adapters import Adapter, AdapterError
from llm.merge import merged_path
from llm.registry import to_serve
from llm.serve import running, under_its_name
from yuqing.adapters import serves
from yuqing.embedded import vllm
from yuqing.endpoints import LLMEndpoint, llm_endpoint
from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)

Applied = Literal["same", "loaded", "restarting", "away"]
_TRIAL = ".trial"  # ends the name under which an adapter is tried before it answers


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own; a name other than localhost is none."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(endpoint: LLMEndpoint) -> dict[str, str]:
    return {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}


def _cards(endpoint: LLMEndpoint) -> list[dict[str, Any]] | None:
    """The server's list of models; None while it does not answer."""
    try:
        answer = httpx.get(f"{endpoint.url}/models", headers=_headers(endpoint), timeout=5, trust_env=False)
        answer.raise_for_status()
        return [card for card in answer.json()["data"] if isinstance(card, dict)]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _post(endpoint: LLMEndpoint, path: str, body: dict[str, str], adapter: Adapter) -> None:
    """A change of the adapters that the server has. Raises AdapterError when it refuses, or does not answer."""
    try:
        answer = httpx.post(
            f"{endpoint.url}/{path}", json=body, headers=_headers(endpoint), timeout=120, trust_env=False
        )
    except httpx.HTTPError as error:
        raise AdapterError(
            f"the server did not load {adapter.served_name}: {error!r}", cure="it is tried again"
        ) from None
    if answer.status_code != 200:
        raise AdapterError(
            f"the server refuses to load {adapter.served_name}: HTTP {answer.status_code} {answer.text[:300]}",
            cure="look into its log; `yuqing llm adapters rollback` goes back to the one before",
        )


def _is_trial(card: dict[str, Any]) -> bool:
    return str(card.get("id")).endswith(_TRIAL)


def _load(endpoint: LLMEndpoint, adapter: Adapter, cards: list[dict[str, Any]], settings: Settings) -> None:
    """Put the adapter in the place of the one that answers, which goes on when the server cannot use the new one.

    Not by `load_inplace`: vLLM keeps that flag with the adapter and reads the files again at every step (its issue 33791). So the
    new one is loaded under another name first, and then takes the name. Between the two requests the name is unknown for a
    moment, in which clients try again.
    """
    folder = str(under_its_name(adapter, settings))
    trial = adapter.served_name + _TRIAL
    for card in filter(_is_trial, cards):  # of a `sync` that was killed
        _post(endpoint, "unload_lora_adapter", {"lora_name": str(card["id"])}, adapter)
    _post(endpoint, "load_lora_adapter", {"lora_name": trial, "lora_path": folder}, adapter)
    if any(card.get("id") == endpoint.model for card in cards):
        _post(endpoint, "unload_lora_adapter", {"lora_name": endpoint.model}, adapter)
    _post(endpoint, "load_lora_adapter", {"lora_name": endpoint.model, "lora_path": folder}, adapter)
    _post(endpoint, "unload_lora_adapter", {"lora_name": trial}, adapter)


def _restart(settings: Settings, endpoint: LLMEndpoint) -> None:
    port = urlsplit(endpoint.url).port or 80
    found = running(settings, port)
    if found is None:
        raise YuqingError(
            f"the server at {endpoint.url} was not started by `yuqing llm serve` with this data folder",
            cure="start it so, beside this command, and with the same YUQING_DATA_DIR; or restart it yourself",
        )
    os.kill(found.pid, signal.SIGTERM)


def apply(settings: Settings) -> Applied:
    """Bring the server to what is active. Raises AdapterError, ObjectStoreAway, NotConfigured, YuqingError.

    "same": it serves that already; "loaded": it loaded the adapter; "restarting": it was asked to end; "away": it does not answer.
    """
    endpoint = llm_endpoint(settings)
    if not is_loopback(endpoint.url):
        raise YuqingError(
            f"{endpoint.url} is not on this machine; adapters are loaded over the loopback address alone",
            cure="run `yuqing llm sync` beside the server, with YUQING_LLM__URL=http://127.0.0.1:PORT/v1",
        )
    adapter = to_serve(settings)
    name = adapter.served_name if adapter else None
    cards = _cards(endpoint)
    if cards is None:
        return "away"
    if serves([card for card in cards if not _is_trial(card)], name):
        return "same"
    beside = any(card.get("id") == vllm.base_name(settings.llm) for card in cards)
    if adapter is not None and beside:
        _load(endpoint, adapter, cards, settings)
        log.info("loaded", adapter=name)
        return "loaded"
    if adapter is not None and settings.llm.adapter_mode == "merged":
        merged_path(settings, adapter)  # the server is away for its start alone, not for the merge
    _restart(settings, endpoint)
    log.info("restarting the server", adapter=name)
    return "restarting"


def follow(settings: Settings, every_s: float, going: Callable[[], bool] = lambda: True) -> None:
    """Apply again and again, every `every_s` seconds, until `going` says no. What fails is logged and tried again."""
    while going():
        try:
            outcome = apply(settings)
            if outcome == "restarting":
                _wait_until_away(settings)
        except YuqingError as error:
            log.warning("the active adapter could not be applied", reason=str(error))
        time.sleep(every_s)


def _wait_until_away(settings: Settings) -> None:
    """A server that was asked to end finishes its requests first, and must not be asked again when it is back."""
    deadline = time.monotonic() + settings.llm.drain_s + settings.llm.stop_s
    while time.monotonic() < deadline and _cards(llm_endpoint(settings)) is not None:
        time.sleep(0.5)
