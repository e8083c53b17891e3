"""What an answer means."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from polly_core.transport.answers import Answer, failure, parse_retry_after
from tests.transport.stub import KEY, service

SERVICE = service("http://service.example:8000")
DOCUMENT = b'{"errors": [{"status": "4", "title": "The title", "detail": "the detail"}]}'


def of(status: int, body: bytes = DOCUMENT, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, AccessDenied),
        (404, NotFound),
        (409, Conflict),
        (413, PayloadTooLarge),
        (422, Unprocessable),
        (429, Throttled),
        (405, RequestRejected),
        (415, RequestRejected),
        (307, RequestRejected),
        (308, RequestRejected),
    ],
)
def test_these_say_that_nothing_happened(
    status: int, kind: type[CatalogError], write: bool
) -> None:
    error = failure(of(status), SERVICE, write=write)
    assert type(error) is kind
    assert error.outcome_known
    assert error.status == status


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 599, 302, 303, 304, 425, 499])
def test_anything_else_leaves_a_write_open(status: int) -> None:
    error = failure(of(status), SERVICE, write=True)
    assert type(error) is OutcomeUnknown
    assert not error.outcome_known
    assert not error.retryable
    read = failure(of(status), SERVICE, write=False)
    assert type(read) is ReadFailed
    assert read.retryable


def test_503_with_a_time_to_wait_did_not_happen() -> None:
    error = failure(of(503, retry_after="7"), SERVICE, write=True)
    assert type(error) is Unavailable
    assert error.retry_after == 7.0
    assert error.retryable


@pytest.mark.parametrize("status", [200, 400, 403, 409, 423, 500, 503])
def test_a_lock_is_known_by_its_title_whatever_the_status(status: int) -> None:
    body = DOCUMENT.replace(b"The title", b"Repository Locked")
    assert type(failure(of(status, body), SERVICE, write=True)) is RepositoryLocked


@pytest.mark.parametrize("body", [DOCUMENT, b'{"data": {"error": null}}', b"", b"<html>"])
def test_a_success_status_is_a_success(body: bytes) -> None:
    assert failure(of(200, body), SERVICE, write=True) is None
    assert failure(of(204, body), SERVICE, write=False) is None


@pytest.mark.parametrize(
    ("body", "title", "detail"),
    [
        (DOCUMENT, "The title", "the detail"),
        (b'{"error": {"title": "The title", "detail": "the detail"}}', "The title", "the detail"),
        (b'{"errors": [{"detail": "only this"}]}', "Resource not found", "only this"),
        (b'{"errors": [{"title": "only this"}]}', "only this", ""),
        (b'{"errors": []}', "Resource not found", ""),
        (b'{"errors": null}', "Resource not found", ""),
        (b'{"errors": "text"}', "Resource not found", "text"),
        (b'{"errors": 7}', "Resource not found", ""),
        (b'{"message": "gone fishing"}', "Resource not found", "gone fishing"),
        (b"<html>  <b>nginx</b>\n</html>", "Resource not found", "<html> <b>nginx</b> </html>"),
        (b"[1, 2]", "Resource not found", "[1, 2]"),
        (b"\xff\xfe", "Resource not found", "\ufffd\ufffd"),
        (b"", "Resource not found", ""),
    ],
)
def test_any_error_body_gives_a_message(body: bytes, title: str, detail: str) -> None:
    error = failure(of(404, body), SERVICE, write=False)
    assert error is not None
    assert (error.title, error.detail) == (title, detail)


@given(body=st.binary(max_size=200), status=st.integers(300, 599), write=st.booleans())
def test_no_answer_breaks_the_conversion(body: bytes, status: int, write: bool) -> None:
    assert isinstance(failure(of(status, body), SERVICE, write=write), CatalogError)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message": "Unauthorized"}', False),
        (b'{"message": "Access denied"}', False),
        (b"", False),
        (f'{{"message": "unknown key {KEY}"}}'.encode(), False),
        (DOCUMENT, True),
    ],
)
def test_a_refused_key_says_where_and_what_to_check(status: int, body: bytes, said: bool) -> None:
    text = str(failure(of(status, body), SERVICE, write=False))
    assert "http://service.example:8000" in text
    assert "check POLLY_API_KEY, or the key that was given to Polly.auth" in text
    assert KEY not in text
    assert ("the detail; " in text) is said


def test_a_refused_key_is_told_in_one_clear_text() -> None:
    text = str(failure(of(401, b'{"message": "Unauthorized"}'), SERVICE, write=False))
    assert text == (
        "401 Unauthorized: http://service.example:8000 does not accept the key; "
        "check POLLY_API_KEY, or the key that was given to Polly.auth"
    )


def test_long_bodies_are_shortened() -> None:
    error = failure(of(502, b"x" * 10_000), SERVICE, write=False)
    assert error is not None
    assert len(error.detail) < 320


def test_a_redirect_says_where_to_and_what_to_do() -> None:
    error = failure(of(308, b"", location="https://elsewhere.example/x"), SERVICE, write=True)
    assert "https://elsewhere.example/x" in str(error)
    assert "POLLY_API_URL" in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("-3", None),
        ("soon", None),
        ("99999999999", 86_400.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:10 -0000", 10.0),
    ],
)
def test_both_forms_of_retry_after(value: str | None, seconds: float | None) -> None:
    now = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC)
    assert parse_retry_after(value, now=now) == seconds
