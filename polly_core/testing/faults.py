"""What can be told to go wrong with a write to the fake catalog."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from polly_core.catalog.ports import ObjectKey
from polly_core.errors import (
    CatalogError,
    NoConnection,
    OutcomeUnknown,
    RepositoryLocked,
    StorageError,
    Throttled,
    Unavailable,
)
from polly_core.models.catalog import DatasetChange, DatasetId, NewDataset, NewFile, WriteStamp

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


class WriteKind(StrEnum):
    """Which method of the writer was called."""

    UPDATE = "update"
    CREATE = "create"
    TRIGGER = "trigger"
    DELETE = "delete"
    ATTACH = "attach"
    DETACH = "detach"


@dataclass(frozen=True, slots=True)
class WriteCall:
    """One write as it arrived, whether it then happened or not."""

    dataset_id: DatasetId
    kind: WriteKind
    what: DatasetChange | NewDataset | NewFile | str | None = None
    """What was sent; of a detachment the file name."""
    stamped: WriteStamp | None = None
    """None for files, which carry no stamp."""
    fault: Fault | CatalogError | None = None

    @property
    def stamp(self) -> WriteStamp:
        """The stamp of a write that carries one."""
        assert self.stamped is not None, f"{self.kind} carries no stamp"
        return self.stamped

    @property
    def change(self) -> DatasetChange:
        """What an update sent."""
        assert isinstance(self.what, DatasetChange), f"{self.kind} is no update"
        return self.what


@dataclass(frozen=True, slots=True)
class TransferCall:
    """One upload or copy that reached the fake store."""

    key: ObjectKey
    location: str
    """Where it is now."""
    sent: bool
    """False where the same content was there already."""


ChooseFault = Callable[[DatasetId, int], Fault | None]
"""Decides for each write, by dataset and number of the write (from 1)."""


def no_faults(_dataset_id: DatasetId, _number: int) -> Fault | None:
    """Every write goes well."""
    return None


def error_of(fault: Fault | CatalogError, retry_after: float | None = None) -> CatalogError:
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
        case CatalogError():
            return fault


@dataclass(frozen=True, slots=True)
class StoreFault:
    """How one transfer goes wrong."""

    error: CatalogError | StorageError
    stored: bool
    """The object is there nevertheless: only the answer was lost."""


class Script(Generic[T]):
    """What is to happen next, in the order it was told; for one dataset or for whichever comes,
    with one kind of write or any."""

    def __init__(self) -> None:
        self._told: list[tuple[str | None, WriteKind | None, T]] = []

    def add(
        self, what: T, dataset_id: str | None, times: int = 1, *, kind: WriteKind | None = None
    ) -> None:
        self._told.extend([(dataset_id, kind, what)] * times)

    def take(self, dataset_id: str | None, kind: WriteKind | None = None) -> T | None:
        """The first thing told that fits, which is then used up."""
        for place, (wanted, only, what) in enumerate(self._told):
            if wanted in {None, dataset_id} and only in {None, kind}:
                del self._told[place]
                return what
        return None
