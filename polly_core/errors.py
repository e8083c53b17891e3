"""One tree of errors. A catalog error knows whether repeating is right and what happened."""


class PollyError(Exception):
    """Root of every error this project raises on purpose."""


class InvalidInput(PollyError, ValueError):
    """What the caller gave cannot be used; the message names the item and what to do."""


class CannotProceed(PollyError):
    """The surroundings do not allow to start or go on: credentials, network, ledger, disk."""


class CatalogError(PollyError):
    """A call to the catalog service failed.

    Attributes:
        status: HTTP status, or None when there was no answer.
        retryable: the same call may succeed later.
        outcome_known: False when a write may or may not have happened.
        retry_after: seconds the server asked to wait, or None.
    """

    retryable = False
    outcome_known = True

    def __init__(
        self,
        title: str,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(title, detail)
        self.title = title
        self.detail = detail
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        prefix = f"{self.status} " if self.status is not None else ""
        return f"{prefix}{self.title}: {self.detail}" if self.detail else f"{prefix}{self.title}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive pickling by themselves.
        state = {"status": self.status, "retry_after": self.retry_after}
        return (type(self), (self.title, self.detail), state)


class BadRequest(CatalogError, ValueError):
    """400: the service could not understand the request. Nothing happened."""


class Unauthorized(CatalogError):
    """401: the key is missing, wrong or expired. Nothing happened."""


class AccessDenied(CatalogError):
    """403: the key may not do this. Nothing happened."""


class NotFound(CatalogError):
    """404: no such atlas, dataset, version, file or study, or no access to it."""


class Conflict(CatalogError):
    """409: it exists already, or it is no longer at the expected version. Nothing happened."""


class PayloadTooLarge(CatalogError):
    """413: the body is above the service's limit. Nothing happened."""


class Unprocessable(CatalogError):
    """422: the body refers to something that does not exist. Nothing happened."""


class Throttled(CatalogError):
    """429: too many requests; wait ``retry_after``. Nothing happened."""

    retryable = True


class RepositoryLocked(CatalogError):
    """The atlas is locked for a while by the service. Nothing happened."""

    retryable = True


class Unavailable(CatalogError):
    """503 with ``Retry-After``: the service refused the request before doing anything."""

    retryable = True


class NoConnection(CatalogError):
    """The request never reached the service. Nothing happened."""

    retryable = True


class RequestRejected(CatalogError):
    """Any other 4xx with a clear meaning: not repeated, nothing happened."""


class ReadFailed(CatalogError):
    """A read got no usable answer after every retry. Nothing was changed by it."""

    retryable = True


class OutcomeUnknown(CatalogError):
    """A write was sent and its answer lost or meaningless: it may have happened. Settle it."""

    retryable = False
    outcome_known = False


class IncompleteCopy(PollyError):
    """A dataset was copied, but not all of its supplementary files.

    Attributes:
        missing: name of each file that is not attached, with the reason.
    """

    def __init__(self, message: str, missing: dict[str, str] | None = None) -> None:
        super().__init__(message, missing)
        self.missing = missing or {}

    def __str__(self) -> str:
        return str(self.args[0])


class NotAuthenticated(PollyError):
    """``Polly.auth`` was never called and no session was given."""


class StorageError(PollyError):
    """The object store refused or failed. The message names the object, never credentials."""

    retryable = False


class StorageUnavailable(StorageError):
    """The object store could not be reached or answered with a server error."""

    retryable = True


class ObjectMissing(StorageError):
    """No such object or object version."""


class StorageDenied(StorageError):
    """The credentials do not allow this access."""


class PayloadError(InvalidInput):
    """A data file is unreadable or is not what its name says."""


class LedgerError(PollyError):
    """The ledger cannot do this."""


class LedgerUnavailable(LedgerError):
    """The ledger is out of reach; the same statement may succeed later."""


class LedgerVersionError(LedgerError):
    """The ledger's schema is not the one this program knows."""


class RunMismatch(LedgerError, InvalidInput):
    """The run id was used for another spec, or the plan is for another catalog."""


class RunNotFound(LedgerError, InvalidInput):
    """No run with this id in this ledger."""


class RunBusy(LedgerError):
    """Another living execution owns the shard or run."""


class LeaseHeld(LedgerError):
    """Another run holds the dataset."""


class OwnershipLost(LedgerError):
    """Another execution has taken over; this one must stop."""
