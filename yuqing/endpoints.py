"""Where the services answer: an explicit setting, or else what `yuqing up` wrote. The only place that knows of both."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yuqing.errors import NotConfigured
from yuqing.settings import Settings

SERVICES_FILE = "services.json"


@dataclass(frozen=True)
class S3Endpoint:
    """An S3 service and the place in it that is ours."""

    endpoint: str | None  # None: the region's AWS endpoint
    bucket: str
    prefix: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    attempts: int = 5
    multipart_bytes: int = 16 * 2**20


@dataclass(frozen=True)
class LLMEndpoint:
    """An OpenAI-compatible server: base URL ending in /v1, key and the served model's name."""

    url: str
    api_key: str = field(repr=False)
    model: str


def services_file(settings: Settings) -> Path:
    """The file (mode 0600) in which the embedded services write their addresses and passwords."""
    return settings.state / SERVICES_FILE


def embedded_services(settings: Settings) -> dict[str, Any]:
    """What `yuqing up` wrote: {"s3": {...}, "database": {...}, "llm": {...}}, or {} when it never ran."""
    try:
        found: dict[str, Any] = json.loads(services_file(settings).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise NotConfigured(
            f"{services_file(settings)} cannot be read: {error}", cure="remove it and run `yuqing up`"
        ) from None
    return found


def _not_configured(what: str, variable: str) -> NotConfigured:
    return NotConfigured(
        f"{what} is not configured", cure=f"start the embedded one with `yuqing up`, or set {variable}"
    )


def s3_endpoint(settings: Settings) -> S3Endpoint:
    """The object store to use. Raises NotConfigured."""
    s3 = settings.s3
    common: dict[str, Any] = {
        "bucket": s3.bucket,
        "prefix": s3.prefix,
        "region": s3.region,
        "attempts": s3.attempts,
        "multipart_bytes": s3.multipart_bytes,
    }
    if s3.access_key and s3.secret_key:
        return S3Endpoint(
            endpoint=s3.endpoint,
            access_key=s3.access_key.get_secret_value(),
            secret_key=s3.secret_key.get_secret_value(),
            **common,
        )
    if s3.endpoint:
        raise NotConfigured(
            f"S3 at {s3.endpoint} has no credentials", cure="set YUQING_S3__ACCESS_KEY and YUQING_S3__SECRET_KEY"
        )
    found = embedded_services(settings).get("s3")
    if not found:
        raise _not_configured("S3", "YUQING_S3__ENDPOINT, YUQING_S3__ACCESS_KEY and YUQING_S3__SECRET_KEY")
    return S3Endpoint(
        endpoint=found["endpoint"], access_key=found["access_key"], secret_key=found["secret_key"], **common
    )


def database_url(settings: Settings) -> str:
    """The PostgreSQL to use, as a libpq URL (postgresql://...). Raises NotConfigured."""
    if settings.database.url:
        return settings.database.url.get_secret_value()
    found = embedded_services(settings).get("database")
    if not found:
        raise _not_configured("PostgreSQL", "YUQING_DATABASE__URL")
    return str(found["url"])


def llm_endpoint(settings: Settings) -> LLMEndpoint:
    """The language model's server to use. Raises NotConfigured."""
    llm = settings.llm
    if llm.url:
        key = llm.api_key.get_secret_value() if llm.api_key else ""
        return LLMEndpoint(url=llm.url.rstrip("/"), api_key=key, model=llm.model)
    found = embedded_services(settings).get("llm")
    if not found:
        raise _not_configured("the language model's server", "YUQING_LLM__URL")
    return LLMEndpoint(url=found["url"], api_key=found["api_key"], model=found["model"])
