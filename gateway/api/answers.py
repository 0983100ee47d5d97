"""What OpenAPI says of errors, keys and edits: the same everywhere."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.problems import MEDIA_TYPE


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    location: str
    reason: str


class ProblemDocument(BaseModel):
    """RFC 9457. `type` names the kind of problem for programs; `detail` and `cure` are for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    cure: str | None = None
    errors: list[ProblemError] | None = None


_SCHEMA = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
_MEANINGS = {
    400: "The body cannot be read",
    401: "No API key, or one that does not exist, has expired or was revoked",
    403: "The key's scope does not include this",
    404: "It does not exist, or not for this team",
    409: "It exists already, is under way already, or cannot be changed so in its present state",
    413: "The body is too large",
    414: "The query is too long",
    422: "A parameter or the body is not valid; `errors` says which",
    429: "The key has spent its requests; `Retry-After` says for how long",
    431: "The headers are too long",
    503: "A dependency is away; `Retry-After` says when to try again",
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {MEDIA_TYPE: _SCHEMA}} for status, meaning in _MEANINGS.items()
}

EDITS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {MEDIA_TYPE: _SCHEMA}}
    for status, meaning in {
        409: "It cannot be changed so in its present state",
        412: "It has changed since it was read; `ETag` names the new state",
        428: "The request carries no `If-Match`",
    }.items()
}


_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "the ETag of the state that the edit was made from; * stands for any",
    "schema": {"type": "string"},
}
_ETAG = {"ETag": {"description": "names the new state", "schema": {"type": "string"}}}
_KEY = {"type": "http", "scheme": "bearer", "description": "an API key, yq_..."}


def describe(app: FastAPI) -> None:
    """Add to the OpenAPI document what all operations share: keys, the problem's schema (FastAPI itself adds only schemas of
    application/json), and the headers of edits.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        if ProblemDocument.__name__ in document["components"]["schemas"]:
            return document  # FastAPI keeps the document that it made
        schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), ProblemDocument.__name__: schema}
        document["components"]["securitySchemes"] = {"key": _KEY}
        document["security"] = [{"key": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if not path.startswith("/v1/"):
                    operation["security"] = []
                if "428" in operation["responses"]:
                    operation.setdefault("parameters", []).append(_IF_MATCH)
                    good = min(operation["responses"])
                    operation["responses"][good]["headers"] = _ETAG
        return document

    app.openapi = openapi  # type: ignore[method-assign]
