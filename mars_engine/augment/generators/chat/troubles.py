"""What can go wrong with a request, in words, and whether sending it again may help."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from mars_engine.augment.generators.chat.completions import UnreadableBody
from mars_engine.core.errors import GenerationError

LONGEST_REASON = 500
LONGEST_HOLD = 300.0
"""A server that wants to be left alone for longer than so many seconds is not waited for."""
PAYMENT_REQUIRED, REQUEST_TIMEOUT = 402, 408


OF_THE_REQUEST = (openai.BadRequestError, openai.UnprocessableEntityError)
"""What a server answers to a request that has something it does not take."""
NO_ANSWER = (openai.APIError, httpx2.HTTPError, httpx2.StreamError, UnreadableBody, TimeoutError, OSError)
"""What the client, its transport and the reading of an answer raise where none came; other errors are bugs."""
Redact = Callable[[str], str]
"""Takes the key out of a text."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request got no answer."""

    reason: str
    may_pass: bool
    """Whether it has to do with the moment: a retry may help, now or another day."""
    retry: bool
    """Whether to try again now."""
    wait_seconds: float | None = None
    """How long the server wants to be left alone."""
    may_be_billed: bool = False
    of_request: bool = False
    """Whether the server is well and has something against this very request."""

    @property
    def passes_soon(self) -> bool:
        """Whether the request is worth sending again, and that within the time that a server is waited for."""
        return self.retry and (self.wait_seconds or 0.0) <= LONGEST_HOLD


def trouble_of(error: Exception, redact: Redact, *, timeout: float, now: datetime) -> Trouble:
    """Return what a failed request is about."""
    if isinstance(error, (openai.APITimeoutError, TimeoutError, httpx2.TimeoutException)):
        return Trouble(f"no answer came within {timeout:g} s", may_pass=True, retry=True, may_be_billed=True)
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, redact, now)
    if isinstance(error, UnreadableBody):
        reason = f"the server's answer cannot be read: {redact(str(error))}"
        return Trouble(reason, may_pass=True, retry=True, may_be_billed=True)
    detail = type(error.__cause__ or error).__name__
    return Trouble(f"the connection failed ({detail})", may_pass=True, retry=True)


def _refusal(error: openai.APIStatusError, redact: Redact, now: datetime) -> Trouble:
    """Return what a status of 4xx or 5xx is about: of the former, 408 and 429 alone are worth another try."""
    wait = retry_after(error.response.headers, now)
    if error.status_code == REQUEST_TIMEOUT:
        return Trouble("the server waited too long (408)", may_pass=True, retry=True, wait_seconds=wait)
    if error.status_code == PAYMENT_REQUIRED:
        reason = f"the server wants to be paid first (402{_said(error, redact)})"
        return Trouble(reason, may_pass=True, retry=False)
    if isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota":
        return Trouble("the account's quota is used up (429)", may_pass=True, retry=False)
    if isinstance(error, openai.RateLimitError):
        return Trouble("the server is asked too often (429)", may_pass=True, retry=True, wait_seconds=wait)
    if isinstance(error, openai.InternalServerError):
        reason = f"the server failed ({error.status_code}{_said(error, redact)})"
        return Trouble(reason, may_pass=True, retry=True, wait_seconds=wait)
    reason = f"the server refused the request ({error.status_code}{_said(error, redact)})"
    return Trouble(reason, may_pass=False, retry=False, of_request=True)


def validate_access(error: Exception, redact: Redact, *, server: str, variable: str, has_key: bool, model: str) -> None:
    """Raise where a server's answer means that nothing can be asked of it at all, not this request alone.

    To one with a key, 403 is no such answer: so servers refuse what their moderation has something against.

    Raises:
        GenerationError: it wants a key or another one, or has no such address or model.
    """
    if isinstance(error, openai.AuthenticationError) or (
        isinstance(error, openai.PermissionDeniedError) and not has_key
    ):
        wanted = "refuses the key" if has_key else "wants a key"
        raise GenerationError(
            # Not in the server's words: many repeat a part of the key.
            f"the server {server} {wanted} ({error.status_code})",
            expected=f"its key in the environment variable {variable} (chat.api_key_variable)",
            remedy=f"set {variable} in the shell, or in Streamlit's secrets for the app, and start again; what was "
            "answered is kept",
        ) from None
    if isinstance(error, openai.NotFoundError):
        raise GenerationError(
            f"the server {server} has no such address or no model {model!r} (404{_said(error, redact)})",
            expected="a base_url that ends where the server's API begins, mostly in /v1, and a model that it serves",
            remedy="correct base_url and model under [chat] in mars.toml, and start again; what was answered is kept",
        ) from None


def retry_after(headers: httpx2.Headers, now: datetime) -> float | None:
    """Return for how many seconds a server wants no more requests, None where it does not say."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) * unit)
        except ValueError:
            continue
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _said(error: openai.APIStatusError, redact: Redact) -> str:
    """Return what the server said of it, without a key and not too long."""
    text = redact(" ".join(message_of(error).split()))
    return f": {text[:LONGEST_REASON]}" if text else ""


def message_of(error: openai.APIStatusError) -> str:
    body: Any = error.body
    if isinstance(body, dict):
        for name in ("message", "detail", "error"):
            if body.get(name):
                return str(body[name])
    return str(body or "")
