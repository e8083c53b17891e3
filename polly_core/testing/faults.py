"""What can be told to go wrong with a write to the fake catalog."""

from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from polly_core.errors import (
    CatalogError,
    NoConnection,
    OutcomeUnknown,
    RepositoryLocked,
    Throttled,
    Unavailable,
)
from polly_core.models.catalog import DatasetId

T = TypeVar("T")


class Fault(StrEnum):
    """How one write goes wrong."""

    LOST_ANSWER = "lost_answer"
    """It happens, its answer is lost."""
    LOST_REQUEST = "lost_request"
    """It was sent and does not happen; the caller cannot tell."""
    LATE = "late"
    """Its answer is lost and it happens only when ``deliver_late`` is called."""
    NO_CONNECTION = "no_connection"
    THROTTLED = "throttled"
    LOCKED = "locked"
    UNAVAILABLE = "unavailable"


ChooseFault = Callable[[DatasetId, int], Fault | None]
"""Decides for each write, by dataset and number of the write (from 1)."""


def no_faults(_dataset_id: DatasetId, _number: int) -> Fault | None:
    """Every write goes well."""
    return None


def error_of(fault: Fault, retry_after: float | None = None) -> CatalogError:
    """What the caller gets to see."""
    match fault:
        case Fault.NO_CONNECTION:
            return NoConnection("No connection to the fake catalog", "as scripted")
        case Fault.THROTTLED:
            return Throttled(
                "Too many requests", "as scripted", status=429, retry_after=retry_after
            )
        case Fault.LOCKED:
            return RepositoryLocked("Repository Locked", "as scripted", status=403)
        case Fault.UNAVAILABLE:
            after = 1.0 if retry_after is None else retry_after
            return Unavailable("Service unavailable", "as scripted", status=503, retry_after=after)
        case Fault.LOST_ANSWER | Fault.LOST_REQUEST | Fault.LATE:
            return OutcomeUnknown("The answer was lost; the write may have happened", "as scripted")


class Script(Generic[T]):
    """What is to happen next, in the order it was told; for one dataset or for whichever comes."""

    def __init__(self) -> None:
        self._told: list[tuple[str | None, T]] = []

    def add(self, what: T, dataset_id: str | None, times: int) -> None:
        self._told.extend([(dataset_id, what)] * times)

    def take(self, dataset_id: str | None) -> T | None:
        """The first thing told for this dataset, which is then used up."""
        for place, (wanted, what) in enumerate(self._told):
            if wanted is None or wanted == dataset_id:
                del self._told[place]
                return what
        return None
