"""What an answer of the service means. The one place where statuses become errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from polly_core.errors import (
    AccessDenied,
    BadRequest,
    CatalogError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PayloadTooLarge,
    ReadFailed,
    RepositoryLocked,
    RequestRejected,
    Throttled,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from polly_core.models.wire import LOCKED_TITLE
from polly_core.transport.service import Service

_BY_STATUS: Mapping[int, type[CatalogError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    422: Unprocessable,
    429: Throttled,
}
# Refusals that a server can only utter before it has done anything.
_REJECTIONS = frozenset({301, 307, 308, 402, 405, 406, 410, 411, 414, 415, 426, 428, 431, 451})
_TITLES: Mapping[int, str] = {
    401: "Unauthorized",
    403: "Access denied",
    404: "Resource not found",
    413: "Payload too large",
    429: "Too many requests",
    503: "Service unavailable",
}
_SHOWN = 300
_CHECK_KEY = "check POLLY_API_KEY, or the key that was given to Polly.auth"


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer, its body not yet parsed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def failure(
    answer: Answer, service: Service, *, write: bool, now: datetime | None = None
) -> CatalogError | None:
    """The error that an answer of the service means, or None where it is a success.

    For a write only the statuses that certainly say so mean that nothing happened (wire.md §9).
    ``now`` is what a ``Retry-After`` date is compared with.
    """
    title, detail, found = _error_texts(answer)
    if answer.ok:
        # Some services report a lock with a success status; anything else is a success as it says.
        locked = found and title == LOCKED_TITLE
        return RepositoryLocked(title, detail, status=answer.status) if locked else None
    retry_after = parse_retry_after(answer.headers.get("retry-after"), now=now)
    kind = _kind(answer.status, title, write=write, retry_after=retry_after)
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "nowhere")
        detail = (
            f"the service points to {target!r}, but the key is sent to no other address. "
            "Set POLLY_API_URL to the right one"
        )
    if kind in {Unauthorized, AccessDenied}:
        detail = _about_the_key(answer.status, title, detail, service)
    return kind(title, detail, status=answer.status, retry_after=retry_after)


def _about_the_key(status: int, title: str, detail: str, service: Service) -> str:
    """What the service said, where that is more than its title and without the key, and advice."""
    key = service.api_key.get_secret_value()
    said = "" if detail.lower() == title.lower() or key in detail else detail
    refused = "does not accept the key" if status == 401 else "does not allow this to the key"
    advice = f"{service.api_url} {refused}; {_CHECK_KEY}"
    return f"{said.rstrip('.')}; {advice}" if said else advice


def _kind(status: int, title: str, *, write: bool, retry_after: float | None) -> type[CatalogError]:
    if title == LOCKED_TITLE:
        return RepositoryLocked
    if status == 503 and retry_after is not None:
        return Unavailable
    if status in _REJECTIONS:
        return RequestRejected
    return _BY_STATUS.get(status, OutcomeUnknown if write else ReadFailed)


def _error_texts(answer: Answer) -> tuple[str, str, bool]:
    """Title and detail of the first error, and whether the body is an error document.

    Copes with any body: hosted gateways answer with HTML, plain text or other JSON.
    """
    fallback = _TITLES.get(answer.status, f"HTTP {answer.status}")
    if answer.ok and b'"error' not in answer.body:
        return fallback, "", False
    try:
        document = json.loads(answer.body)
    except ValueError:
        return fallback, _excerpt(answer.body), False
    if not isinstance(document, dict):
        return fallback, _excerpt(answer.body), False
    first = document.get("errors", document.get("error"))
    if isinstance(first, list):
        first = first[0] if first else None
    if isinstance(first, dict):
        return str(first.get("title") or fallback), str(first.get("detail") or ""), True
    if isinstance(first, str):
        return fallback, first, True
    return fallback, str(document.get("message") or ""), False


def _excerpt(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, from either form of the header; None where it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text), 86_400))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), 86_400.0)
