"""Who asks: API keys. A key is shown once; its SHA-256 is kept, which is enough for 256 random bits."""

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fastapi import Request

from gateway.problems import Problem
from gateway.queries import keys
from gateway.resources import Gateway, gateway_of

Scope = Literal["viewer", "analyst", "operator", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each may do what those before it may

PREFIX = "yq_"
SHOWN_CHARACTERS = 10  # of the key, to tell keys apart: 42 of its 258 random bits
_KEY = re.compile(r"yq_[A-Za-z0-9_-]{43}")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="yuqing"'}


@dataclass(frozen=True)
class Caller:
    """The holder of a valid key."""

    key_id: int
    team_id: int
    team: str
    name: str
    prefix: str
    scope: Scope

    @property
    def actor(self) -> str:
        """How corrections and the audit log name the holder."""
        return f"key:{self.prefix} {self.name}"

    def may(self, scope: Scope) -> bool:
        """Whether the key's scope includes this one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


def new_key() -> str:
    """A new key: yq_ and 256 random bits in 43 characters."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is stored of a key: SHA-256, 64 hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def _caller(record: keys.KeyRecord) -> Caller:
    scope = next((known for known in SCOPES if known == record.scope), None)
    if scope is None:
        raise Problem(
            403, "unknown-scope", f"the key {record.prefix}… has the scope {record.scope!r}, which is not known"
        )
    return Caller(record.key_id, record.team_id, record.team, record.name, record.prefix, scope)


async def check_key(gateway: Gateway, key: str, *, limited: bool = False) -> Caller | None:
    """The caller of a key; None when it does not exist, has expired or was revoked. Problem 429 beyond its limit.

    Looked up by its hash: the time of an index look-up tells nothing about a key, because nobody can choose a hash's
    first digits. The hashes are then compared in constant time.
    """
    if not _KEY.fullmatch(key):
        return None
    sha256 = digest(key)
    settings = gateway.settings.gateway
    if limited:
        limit = keys.Limit(settings.requests_per_minute, settings.burst)
        record = await gateway.admission.enter(gateway.reading, sha256, limit)
    else:
        async with gateway.reading.connect() as connection:
            record = await keys.enter_by_hash(connection, sha256, None)
    if record is None or not hmac.compare_digest(record.sha256, sha256):
        return None
    if record.wait_s > 0:
        raise Problem(
            429,
            "rate-limit",
            f"the key {record.prefix}… has spent its requests for now",
            "wait as long as Retry-After says; an administrator may give the key a higher limit",
            headers={"Retry-After": str(math.ceil(record.wait_s))},
        )
    return _caller(record)


async def check_key_id(gateway: Gateway, key_id: int) -> Caller | None:
    """The caller of a session's key; None when it is not valid any more, so that revoking a key ends its sessions."""
    async with gateway.reading.connect() as connection:
        record = await keys.enter_by_id(connection, key_id)
    return _caller(record) if record else None


def demand(caller: Caller, scope: Scope) -> None:
    """Raise 403 unless the caller may do what this scope may."""
    if not caller.may(scope):
        raise Problem(
            403,
            "scope",
            f"the key {caller.prefix}… has the scope {caller.scope}; this needs {scope}",
            f"ask for a key with the scope {scope}",
        )


async def caller_of(request: Request) -> Caller:
    """The caller named by `Authorization: Bearer yq_...`, asked once a request. 401 or 429."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise Problem(
            401,
            "key-missing",
            "the request carries no API key",
            "send the header `Authorization: Bearer yq_...`",
            headers=_CHALLENGE,
        )
    found = await check_key(gateway_of(request), key.strip(), limited=True)
    if found is None:
        raise Problem(
            401,
            "key-not-valid",
            "the API key does not exist, has expired or was revoked",
            "make a new one: yuqing gateway create-key",
            headers=_CHALLENGE,
        )
    request.state.caller = found
    return found


def key_with(scope: Scope) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A dependency: the caller named by `Authorization: Bearer yq_...`, with at least this scope. 401 or 403."""

    async def caller(request: Request) -> Caller:
        found = await caller_of(request)
        demand(found, scope)
        return found

    return caller
