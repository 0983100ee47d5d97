"""What a request may use: the settings, the database's pool, the object store, the secret of the sessions."""

import asyncio
import os
import secrets
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admission import Admission
from gateway.media_weights import media_weights
from yuqing.database.session import async_engine, reading_engine
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, SettingsError

# Requests that wait for a transcript ask the database twice a second: a hundred statements a second, of 0.2 ms each.
WAITING = 50
SESSIONS_FILE = "gateway.secret"


@dataclass(frozen=True)
class Gateway:
    """One process's resources; the connections are opened when first used."""

    settings: Settings
    database: AsyncEngine
    secret: bytes
    zone: ZoneInfo

    @cached_property
    def reading(self) -> AsyncEngine:
        """A pool for statements that each stand alone: without a transaction around them."""
        return reading_engine(self.settings)

    @cached_property
    def admission(self) -> Admission:
        """The keys that were looked up a moment ago."""
        return Admission(self.settings.gateway.key_cache_s)

    @cached_property
    def streams(self) -> asyncio.Semaphore:
        """As many streams of live events as may be open."""
        return asyncio.Semaphore(self.settings.gateway.streams)

    @cached_property
    def stopping(self) -> threading.Event:
        """Set when the process is told to end, so that streams end and do not hold it up."""
        return threading.Event()

    @cached_property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What goes on behind an answer; a task that nobody holds may vanish."""
        return set()

    @cached_property
    def exports(self) -> asyncio.Semaphore:
        """As many exports as may be written at the same time: each holds a connection until its last row."""
        return asyncio.Semaphore(self.settings.gateway.exports)

    @cached_property
    def remembered(self) -> dict[Any, Any]:
        """What a page keeps for a moment; whoever keeps something bounds and ages it."""
        return {}

    @cached_property
    def uploads(self) -> asyncio.Semaphore:
        """As many uploads as may be received at the same time: each is a file in the temporary folder."""
        return asyncio.Semaphore(self.settings.gateway.uploads)

    @cached_property
    def waiting(self) -> asyncio.Semaphore:
        """As many requests as may wait for a transcript."""
        return asyncio.Semaphore(WAITING)

    @cached_property
    def weights(self) -> dict[str, float]:
        """The influence of each site, from the site files; a site that has none counts 1."""
        return media_weights(self.settings)

    @cached_property
    def store(self) -> ObjectStore:
        """The object store. Raises NotConfigured."""
        return ObjectStore.from_settings(self.settings)


def session_secret(settings: Settings) -> bytes:
    """The setting, or 32 random bytes kept in the data folder with mode 0600, made once."""
    if settings.gateway.session_secret:
        return settings.gateway.session_secret.get_secret_value().encode()
    path = settings.state / SESSIONS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) < 32:
            raise SettingsError(
                f"{path} holds {len(secret)} bytes, not 32", cure="remove it; all have to sign in again"
            ) from None
        return secret
    with os.fdopen(handle, "wb") as target:
        secret = secrets.token_bytes(32)
        target.write(secret)
    return secret


def open_gateway(settings: Settings) -> Gateway:
    """Read what the settings name. Raises NotConfigured without a database, SettingsError for an unknown time zone."""
    try:
        zone = ZoneInfo(settings.gateway.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingsError(
            f"setting gateway.time_zone is not valid: {settings.gateway.time_zone!r} is no IANA time zone",
            cure="use a name such as Asia/Shanghai",
        ) from None
    return Gateway(settings, async_engine(settings), session_secret(settings), zone)


def gateway_of(request: Request) -> Gateway:
    """The resources of the application that answers this request."""
    gateway: Gateway = request.app.state.gateway
    return gateway
