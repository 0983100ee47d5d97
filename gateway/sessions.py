"""Sign-in of the pages: a signed token in an HttpOnly cookie, and tokens against forged forms.

The session token names the key's id, never the key; the key is checked again at each request. Form tokens are bound to
a random cookie of the visit and salted anew each time, so that compression cannot give them away.
"""

import base64
import hashlib
import hmac
import secrets
import time

from fastapi import Request
from fastapi.responses import Response

from gateway.problems import Problem

SESSION_COOKIE = "yuqing_session"
VISIT_COOKIE = "yuqing_visit"


def _sign(secret: bytes, purpose: str, message: str) -> str:
    mac = hmac.new(secret, f"{purpose}\0{message}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def session_token(secret: bytes, key_id: int, expires: int) -> str:
    """`key id.expiry (Unix seconds).signature`."""
    message = f"{key_id}.{expires}"
    return f"{message}.{_sign(secret, 'session', message)}"


def read_session(secret: bytes, token: str) -> int | None:
    """The key's id of a session token; None when it was tampered with or has expired."""
    message, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(secret, "session", message).encode()):
        return None
    key_id, _, expires = message.partition(".")
    return int(key_id) if int(expires) > time.time() else None


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def start_session(request: Request, response: Response, secret: bytes, key_id: int, hours: float) -> None:
    """Set the session cookie, and a new visit: the form tokens from before the sign-in end with it."""
    seconds = int(hours * 3600)
    token = session_token(secret, key_id, int(time.time()) + seconds)
    secure = _is_secure(request)
    response.set_cookie(SESSION_COOKIE, token, max_age=seconds, httponly=True, samesite="strict", secure=secure)
    response.set_cookie(VISIT_COOKIE, secrets.token_urlsafe(16), httponly=True, samesite="strict", secure=secure)


def end_session(response: Response) -> None:
    """Remove the cookies."""
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    response.delete_cookie(VISIT_COOKIE, httponly=True, samesite="strict")


def visit_of(request: Request) -> str:
    """The visit's random name; a new one when the browser has none yet (see keep_visit)."""
    known = request.cookies.get(VISIT_COOKIE) or getattr(request.state, "visit", None)
    if not known:
        known = request.state.visit = secrets.token_urlsafe(16)
    return str(known)


def keep_visit(request: Request, response: Response) -> None:
    """Give the browser the visit that the page's form tokens were made for."""
    if new := getattr(request.state, "visit", None):
        response.set_cookie(VISIT_COOKIE, new, httponly=True, samesite="strict", secure=_is_secure(request))


def form_token(request: Request, secret: bytes) -> str:
    """The hidden field of a form: `salt.signature`."""
    salt = secrets.token_urlsafe(12)
    return f"{salt}.{_sign(secret, 'form', f'{salt}.{visit_of(request)}')}"


def check_form(request: Request, secret: bytes, token: str) -> None:
    """Raise 403 unless the form came from a page of ours in this visit."""
    origin = request.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != request.headers.get("host", "")
    salt, _, signature = token.partition(".")
    expected = _sign(secret, "form", f"{salt}.{visit_of(request)}")
    if foreign or not hmac.compare_digest(signature.encode(), expected.encode()):
        raise Problem(
            403, "form", "the form has expired or did not come from this site", "open the page again and repeat"
        )
