"""The whole OpenAPI document against the server: nothing fails in it, and nothing is answered that it does not say."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)
from sqlalchemy import Engine, text

from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_analyze import Handler
from tests.gateway.test_keys import bearer

pytestmark = pytest.mark.service

# Told by their names: what the operations of the press in the database may be asked for.
Objects = dict[str, Any]
# An operation that ends keys must not end the one that asks; a stream has to end.
QUERY: dict[str, dict[str, Any]] = {"stream_events": {"wait": 0}, "create_transcription": {"wait": 0}}
# They start processes; tests/gateway/test_operations.py does that once.
STARTS = {"start_crawl", "start_cleaning", "replay_quarantine"}
# Names have rules that no schema says, and much that is "invalid" to it is valid as it stands in a query or a form.
BEYOND_THE_SCHEMA = [negative_data_rejection, positive_data_acceptance, unsupported_method]
# The model of the tests gives one answer, whatever companies it is asked about; the gateway says 503 to that.
MAY_BE_AWAY = {"analyze_text"}


@dataclass(frozen=True)
class Target:
    """A running gateway and what it holds."""

    address: str
    key: str
    objects: Objects


@pytest.fixture
def target(press: dict[str, str], database: Engine) -> Iterator[Target]:
    """A gateway with a language model, a press, an administrator's key and another one that may be revoked."""
    with database.begin() as connection:
        rows.add_key(connection, "公关部", "viewer")
        spare = connection.execute(text("SELECT max(id) FROM api_keys")).scalar_one()
        key = rows.add_key(connection, "公关部", "admin")
        company, doc = connection.execute(text("SELECT company_id, doc_id FROM verdicts ORDER BY doc_id LIMIT 1")).one()
        recording = connection.execute(text("SELECT sha256 FROM media")).scalar_one()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    llm = {"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "yuqing"}
    gateway = {"dependency_timeout_s": 60, "requests_per_minute": 10**6, "burst": 10**6}
    objects = {"company_id": company, "doc_id": doc, "sha256": recording, "key_id": spare}
    with running(llm=llm, gateway=gateway) as address:
        yield Target(address, key, objects)
    server.shutdown()


def send(target: Target, name: str, case: schemathesis.Case, *, valid: bool) -> int:
    """Send a request, judge the answer by the document and return its status. Raises FailureGroup."""
    if valid or name in ("revoke_key", "rotate_key"):
        known = {field: value for field, value in target.objects.items() if field in case.path_parameters}
        case.path_parameters = {**case.path_parameters, **known}
    case.query = {**case.query, **QUERY.get(name, {})}
    headers = {**bearer(target.key), **({"If-Match": "*"} if valid else {})}
    answer = case.call(base_url=target.address, headers=headers)

    excluded = [*BEYOND_THE_SCHEMA, *([not_a_server_error] if name in MAY_BE_AWAY else [])]
    case.validate_response(answer, excluded_checks=excluded)
    return answer.status_code


def examine(target: Target, examples: int) -> dict[str, set[int]]:
    """Send `examples` valid and as many invalid requests to each operation, the same each time; returns the statuses that came."""
    document = httpx.get(f"{target.address}/v1/openapi.json", trust_env=False).json()
    statuses: dict[str, set[int]] = {}
    failures: list[str] = []
    once = hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        name = operation.definition.raw["operationId"]
        if name in STARTS:
            continue
        seen = statuses[name] = set()
        for mode in schemathesis.GenerationMode:
            valid = mode is schemathesis.GenerationMode.POSITIVE
            cases = operation.as_strategy(generation_mode=mode)

            def ask(case: schemathesis.Case) -> None:
                seen.add(send(target, name, case, valid=valid))  # noqa: B023 - called before the next round

            try:
                once(hypothesis.given(case=cases)(ask))()
            except hypothesis.errors.Unsatisfiable:
                assert not valid, name  # without parameters and body there is nothing to be invalid
            except (FailureGroup, BaseExceptionGroup) as error:
                failures.append(f"{name}: {error} {getattr(error, 'exceptions', '')}")
    assert not failures, "\n".join(failures)
    return statuses


def test_nothing_fails_and_nothing_is_undocumented(target: Target) -> None:
    seen = examine(target, examples=6)
    good = [name for name, statuses in seen.items() if any(status < 300 for status in statuses)]
    assert len(good) >= 25, "most valid requests have to succeed, or little was tested"


@pytest.mark.slow
def test_the_same_for_longer(target: Target) -> None:
    examine(target, examples=200)
