"""The server's refusals and the error documents they become (wire.md §2.3)."""

from polly_core.errors import (
    AccessDenied,
    BadRequest,
    CatalogError,
    Conflict,
    NotFound,
    PayloadTooLarge,
    Unavailable,
    Unprocessable,
)
from polly_core.models.wire import ErrorDocument, ErrorObject

CODES = {
    400: "bad_req",
    403: "forbidden",
    404: "resource_not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    422: "unprocessable",
    423: "repository_locked",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}
RETRY_AFTER_SECONDS = 1


def bad_request(detail: str) -> BadRequest:
    """400: the request cannot be understood."""
    return BadRequest("Bad Request", detail, status=400)


def access_denied(detail: str) -> AccessDenied:
    """403: the key may read but not write."""
    return AccessDenied("Access denied", detail, status=403)


def not_found(detail: str) -> NotFound:
    """404: no such thing, or no access to the atlas it is in."""
    return NotFound("Resource not found", detail, status=404)


def conflict(detail: str) -> Conflict:
    """409: it contradicts what is there."""
    return Conflict("Conflict", detail, status=409)


def too_large(limit: int) -> PayloadTooLarge:
    """413: the body is above the limit."""
    detail = f"The body is larger than {limit} bytes; send less in one request"
    return PayloadTooLarge("Payload too large", detail, status=413)


def unprocessable(detail: str) -> Unprocessable:
    """422: it refers to something that does not exist."""
    return Unprocessable("Unprocessable entity", detail, status=422)


def unavailable(detail: str) -> Unavailable:
    """503 with ``Retry-After``: nothing was done; only to be raised where that is certain."""
    return Unavailable("Unavailable", detail, status=503, retry_after=RETRY_AFTER_SECONDS)


def error_document(status: int, title: str, detail: str) -> ErrorDocument:
    """The document of one error. Title and detail are both needed by the official client."""
    error = ErrorObject(
        status=str(status),
        code=CODES.get(status, "error"),
        title=title,
        detail=detail or title,
    )
    return ErrorDocument(errors=(error,))


def document_of(error: CatalogError) -> ErrorDocument:
    """The document of a refusal."""
    return error_document(error.status or 500, error.title, error.detail)
