"""Requests, answers, errors, downloads and live events, which the generated methods of `api.py` stand on."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from yuqing_client.model import Model

Item = TypeVar("Item")
_RETRIED = (429, 503)
# Without `Retry-After`, as a proxy answers; the gateway itself always says how long.
_PAUSE_S = 1.0


class ApiError(Exception):
    """The server refused, or could not: `status`, `kind` for programs (`urn:yuqing:problem:…`), `detail` and `cure` for people.

    `problem` is the whole RFC 9457 document; `request_id` finds the request in the server's log.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status, self.problem = status, dict(problem)
        self.kind = str(problem.get("type", "about:blank"))
        self.detail = str(problem.get("detail", ""))
        self.cure = problem.get("cure")
        self.request_id = problem.get("request_id")
        super().__init__(f"{status} {self.kind}: {self.detail}" + (f" ({self.cure})" if self.cure else ""))


@dataclass(frozen=True)
class Event:
    """A live event: `id` resumes behind it, `name` is `document` or `verdict`."""

    id: str | None
    name: str
    data: dict[str, Any]


class _Page(Protocol[Item]):
    @property
    def items(self) -> list[Item]: ...


def every(method: Callable[..., _Page[Item]], *arguments: Any, **parameters: Any) -> Iterator[Item]:
    """The items of all pages of a list: `every(api.list_documents, company=1)`."""
    while True:
        page = method(*arguments, **parameters)
        yield from page.items
        further = {"cursor": getattr(page, "next_cursor", None), "before": getattr(page, "next_before", None)}
        further = {name: value for name, value in further.items() if value is not None}
        if not further:
            return
        parameters |= further


class Transport:
    """A connection pool with a key. `retries` further tries after 429 and 503, of requests that may be sent twice."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 60, retries: int = 2, **options: Any) -> None:
        """`url` such as `https://yuqing.example/`; `options` go to `httpx.Client` (proxy, verify, transport, ...)."""
        self._retries = retries
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "yuqing-client"}
        self._client = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        answers: Mapping[int, TypeAdapter[Any]],
        *,
        query: Mapping[str, Any],
        headers: Mapping[str, Any],
        once: bool = False,
        **body: Any,
    ) -> Any:
        """The answer, as the type that belongs to its status; text where it is no JSON. Raises ApiError, httpx.HTTPError."""
        with self._open(method, path, query=query, headers=headers, once=once, **body) as response:
            response.read()
        kind = response.headers.get("content-type", "")
        if response.status_code == 204:
            return None
        if not kind.startswith("application/json"):
            return response.text
        if response.status_code not in answers:
            raise ApiError(response.status_code, {"detail": "this client does not know such an answer; is it older?"})
        found = answers[response.status_code].validate_json(response.content)
        if isinstance(found, Model):
            found._etag = response.headers.get("etag")
        return found

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        headers: Mapping[str, Any],
        once: bool = False,
        json_body: BaseModel | None = None,
        content: str | bytes | None = None,
        media_type: str | None = None,
        fields: Mapping[str, Any] | None = None,
        file: Any = None,
    ) -> Iterator[httpx.Response]:
        """The answer with its body unread. `once`: the operation takes an Idempotency-Key, so that it may be sent again."""
        sent = _plain(headers)
        if once:
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        if json_body is not None:
            content, media_type = json_body.model_dump_json(exclude_unset=True, by_alias=True), "application/json"
        if media_type is not None:
            sent["Content-Type"] = media_type
        form: dict[str, Any] = {} if file is None else {"files": {"file": file}, "data": _plain(fields or {})}
        tries = self._retries + 1 if method == "GET" or once else 1
        for left in reversed(range(tries)):
            request = self._client.build_request(
                method, path, params=_plain(query), headers=sent, content=content, **form
            )
            response = self._client.send(request, stream=True)
            try:
                if response.status_code in _RETRIED and left:
                    time.sleep(float(response.headers.get("retry-after", _PAUSE_S)))
                    continue
                if response.is_error:
                    response.read()
                    raise ApiError(response.status_code, _problem(response))
                yield response
                return
            finally:
                response.close()

    def _events(self, path: str, *, query: Mapping[str, Any], headers: Mapping[str, Any]) -> Iterator[Event]:
        """Server-sent events until the server ends the stream."""
        with self._open("GET", path, query=query, headers=headers) as response:
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                if line and not line.startswith(":"):
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif not line and "data" in fields:
                    yield Event(fields.get("id"), fields.get("event", "message"), json.loads(fields["data"]))
                    fields = {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None; times as RFC 3339, booleans as JSON writes them."""
    return {name: _written(value) for name, value in values.items() if value is not None}


def _written(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"detail": response.text[:500]}
