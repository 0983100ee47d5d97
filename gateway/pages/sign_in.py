"""/sign-in and /sign-out. The key comes in a form's body; a link may carry it behind "#", which no server sees."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from gateway import sessions
from gateway.auth import Caller, check_key, check_key_id
from gateway.pages.rendering import Bounce, Elsewhere, remember_preferences, render
from gateway.resources import gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])


def local_path(path: str) -> str:
    """A path on this site to go on to; anything else becomes the start page."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


async def signed_in(request: Request) -> Caller:
    """A dependency: the caller of the session; without one the reader is sent to sign in, and comes back."""
    gateway = gateway_of(request)
    token = request.cookies.get(sessions.SESSION_COOKIE)
    if token is None and request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        raise Bounce
    key_id = sessions.read_session(gateway.secret, token) if token else None
    caller = await check_key_id(gateway, key_id) if key_id is not None else None
    if caller is None:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise Elsewhere("/sign-in?" + urlencode({"next": wanted}) if wanted != "/" else "/sign-in")
    return caller


@router.get("/sign-in")
async def show(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name of the query parameter
    """The form."""
    return render(request, "sign_in.html", next_path=local_path(next), wrong=False)


@router.post("/sign-in")
async def submit(
    request: Request,
    key: Annotated[str, Form(max_length=200)] = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002
) -> Response:
    """Start a session, or show the form again with status 403."""
    gateway = gateway_of(request)
    sessions.check_form(request, gateway.secret, csrf)
    caller = await check_key(gateway, key.strip())
    if caller is None:
        return render(request, "sign_in.html", status=403, next_path=local_path(next), wrong=True)
    response = RedirectResponse(local_path(next), status_code=303)
    hours = gateway.settings.gateway.session_hours
    sessions.start_session(request, response, gateway.secret, caller.key_id, hours)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """End the session in this browser."""
    sessions.check_form(request, gateway_of(request).secret, csrf)
    response = RedirectResponse("/sign-in", status_code=303)
    sessions.end_session(response)
    return response
