"""Errors as RFC 9457 problem details: what happened, why, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from yuqing.database.session import DatabaseAway, away
from yuqing.errors import NotConfigured, YuqingError
from yuqing.objects import ObjectMissing, ObjectStoreAway
from yuqing.telemetry import get_logger

log = get_logger("gateway")

MEDIA_TYPE = "application/problem+json"
# A restarted PostgreSQL answers again within a second, a failed-over one within half a minute.
RETRY_AFTER_S = 5
# Python's own words for these have changed between its versions.
_TOO_LARGE = {413: "body-too-large", 414: "query-too-long", 431: "headers-too-large"}


@dataclass(eq=False)  # not frozen: raising an exception writes its traceback into it
class Problem(Exception):
    """A refusal with an HTTP status: `slug` names it for programs, `detail` and `cure` are for people."""

    status: int
    slug: str
    detail: str
    cure: str = ""
    errors: tuple[dict[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The HTTP status in words."""
        return HTTPStatus(self.status).phrase

    def as_dict(self, request: Request) -> dict[str, Any]:
        """The members of the problem document."""
        members: dict[str, Any] = {
            "type": f"urn:yuqing:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": request.url.path,
            "request_id": getattr(request.state, "request_id", ""),
        }
        if self.cure:
            members["cure"] = self.cure
        if self.errors:
            members["errors"] = list(self.errors)
        return members


def not_found(what: str) -> Problem:
    """404 for what does not exist and, in the same words, for what belongs to another team."""
    return Problem(404, "not-found", f"{what} does not exist")


def bad_request(name: str, reason: str, cure: str = "") -> Problem:
    """422 for one parameter that FastAPI's own validation cannot judge."""
    return Problem(422, "validation", f"{name}: {reason}", cure, ({"location": name, "reason": reason},))


def _unavailable(error: YuqingError, slug: str) -> Problem:
    return Problem(503, slug, error.message, error.cure, headers={"Retry-After": str(RETRY_AFTER_S)})


def _from_database(error: Exception) -> Problem:
    if isinstance(error, PoolTimeout):
        return _unavailable(DatabaseAway("all database connections are busy", cure="try again"), "database-busy")
    return _unavailable(away(error), "database-away")


def reason_of(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, without the words that it puts before our own."""
    return str(error["msg"]).removeprefix("Value error, ")


def _of_body(error: Exception) -> Problem | None:
    """The problem of a body that is not JSON in UTF-8, of which the framework's own words say too little."""
    match error:
        case RequestValidationError() if (first := error.errors()[0])["type"] == "json_invalid":
            reason = f"not JSON at character {first['loc'][-1]}: {first['ctx']['error']}"
            return bad_request("body", reason)
        case HTTPException(status_code=400, __cause__=UnicodeDecodeError() as cause):
            place = f"byte {cause.start} is 0x{cause.object[cause.start]:02x}"
            return Problem(
                400, "body-not-utf-8", f"the body is not UTF-8: {place}", "send JSON in UTF-8, not in GB 18030"
            )
    return None


def to_problem(error: Exception) -> Problem | None:
    """The problem that an exception stands for; None for a defect of ours."""
    if (of_body := _of_body(error)) is not None:
        return of_body
    match error:
        case Problem():
            return error
        case RequestValidationError():
            errors = tuple(
                {
                    "location": ".".join(str(part) for part in item["loc"]),
                    "reason": reason_of(item),
                }
                for item in error.errors()
            )
            first = errors[0] if errors else {"location": "request", "reason": "not valid"}
            return Problem(422, "validation", f"{first['location']}: {first['reason']}", errors=errors)
        case HTTPException() if error.status_code in _TOO_LARGE:
            return Problem(error.status_code, _TOO_LARGE[error.status_code], str(error.detail))
        case HTTPException():
            detail = {404: "there is nothing at this address", 405: "this address does not take that method"}
            return Problem(
                error.status_code,
                HTTPStatus(error.status_code).phrase.lower().replace(" ", "-"),
                detail.get(error.status_code, str(error.detail)),
                headers=dict(error.headers or {}),
            )
        case ClientDisconnect():
            return Problem(400, "body-incomplete", "the connection ended before the body did")
        case OperationalError() | InterfaceError() | PoolTimeout() | ConnectionError():
            return _from_database(error)
        case DBAPIError() if error.connection_invalidated:
            return _from_database(error)
        case ObjectMissing():
            return not_found("the object")
        case DatabaseAway():
            return _unavailable(error, "database-away")
        case ObjectStoreAway():
            return _unavailable(error, "object-store-away")
        case NotConfigured():
            return _unavailable(error, "not-configured")
    return None


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem as application/problem+json."""
    return JSONResponse(
        problem.as_dict(request), status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem: as a page for a browser outside /v1, else as JSON."""
    from gateway.pages.rendering import problem_page

    async def answer(request: Request, error: Exception) -> Response:
        problem = to_problem(error)
        if problem is None:
            log.error("request failed", path=request.url.path, exc_info=error)
            problem = Problem(
                500, "internal", "the server failed to answer", "report the request id with the time of the request"
            )
        elif problem.status >= 500:
            log.warning("dependency away", path=request.url.path, problem=problem.slug, detail=problem.detail)
        wants_page = not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
        return problem_page(request, problem) if wants_page else problem_response(request, problem)

    for kind in (
        Problem,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
        OperationalError,
        InterfaceError,
        PoolTimeout,
        DBAPIError,
        ConnectionError,
        YuqingError,
        Exception,
    ):
        app.add_exception_handler(kind, answer)
