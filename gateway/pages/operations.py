"""What the pages under /operations share: who may see them, and how their forms end."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from gateway import sessions
from gateway.auth import Caller, demand
from gateway.pages.sign_in import signed_in
from gateway.problems import Problem
from gateway.resources import gateway_of

# What a person can do something about on the page itself; the rest is a page of its own.
_SHOWN = {404, 409, 412, 422, 503}


async def operator(caller: Annotated[Caller, Depends(signed_in)]) -> Caller:
    """A dependency: the caller of the session, an operator. Problem 403."""
    demand(caller, "operator")
    return caller


Operator = Annotated[Caller, Depends(operator)]


async def own_form(request: Request, csrf: Annotated[str, Form(max_length=200)] = "") -> None:
    """A dependency of every form's target: it came from a page of ours. Problem 403."""
    sessions.check_form(request, gateway_of(request).secret, csrf)


OwnForm = Depends(own_form)


async def done(change: Awaitable[object], then: str, page: Callable[[Problem], Awaitable[Response]]) -> Response:
    """On to the address `then`; or, when the change is refused, the page again with the reason."""
    try:
        await change
    except Problem as problem:
        if problem.status not in _SHOWN:
            raise
        return await page(problem)
    return RedirectResponse(then, status_code=303)


def readable(value: Any) -> str:
    """JSON for people: indented, Chinese as it is written."""
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
