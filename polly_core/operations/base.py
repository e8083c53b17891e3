"""What every operation answers: plan, draft, apply, settle, verify."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from polly_core.catalog.ports import Ports, Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import (
    DatasetId,
    DatasetRecord,
    RunId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject, digest
from polly_core.models.run import (
    Applied,
    Invalid,
    Item,
    Planned,
    Settled,
    Skipped,
    StepResult,
    Unchanged,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A planned item with the metadata to be written, which the plan row only digests."""

    planned: Planned
    metadata: JsonObject | None
    """None where no metadata is to be written."""
    done: tuple[StepResult, ...] = ()
    """Steps that are done already."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The dataset is no longer as planned; nothing is to be written."""

    reason: str


@dataclass(frozen=True, slots=True)
class Written:
    """An item that was written, as the ledger knows it."""

    planned: Planned
    version: VersionId | None
    """The version it made; None where it made none."""
    done: tuple[StepResult, ...] = ()
    resent: bool = False
    """The write was sent more than once, so that a request given up as lost may have been
    delivered after all."""
    run_id: RunId | None = None
    """The run that wrote it; None leaves what the service recorded of it unchecked."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether the promise was kept; ``problems`` says what was found instead."""

    problems: tuple[str, ...] = ()
    between: tuple[VersionId, ...] = ()
    """Foreign versions that stand between the one seen and ours, oldest first."""
    repeated: tuple[VersionId, ...] = ()
    """Later versions with exactly our content, where the write was sent more than once."""


class Operation(Protocol):
    """One operation with its description. Thread-safe: the same object serves every item of a run.

    Errors of the catalog pass through; the engine knows what each means for the item.
    """

    @property
    def calls_to_plan(self) -> bool:
        """Whether planning asks the service although the listing has the dataset's record."""
        ...

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        """Decide, read-only, what is to be done.

        Args:
            record: the dataset as the shard's listing has it; None where it is not on it, so
                that it has to be read.
        """
        ...

    def draft(
        self,
        reader: Reader,
        planned: Planned,
        record: DatasetRecord | None,
        done: tuple[StepResult, ...],
    ) -> Draft | Drift:
        """What a stored plan writes, if the dataset is still as planned.

        The change is not evaluated again.

        Raises:
            InvalidInput: the plan does not fit the version it was made at.
        """
        ...

    def apply(self, ports: Ports, draft: Draft, stamp: WriteStamp) -> StepResult | Applied:
        """Do the first step that is not done; ``Applied`` where it was the last.

        Args:
            stamp: expects the version seen, where the service enforces that.
        """
        ...

    def settle(
        self, reader: Reader, planned: Planned, done: tuple[StepResult, ...], run_id: RunId
    ) -> Settled:
        """Find out by reading whether a write whose answer was lost has happened."""
        ...

    def verify(self, reader: Reader, written: Written, *, full: bool) -> Verified:
        """Read what must be read to know that what was promised is there.

        Args:
            full: read the content back as well.
        """
        ...


def live(reader: Reader, dataset_id: DatasetId) -> DatasetRecord | None:
    """The dataset as it stands; None where none is live."""
    try:
        return reader.dataset(dataset_id)
    except NotFound:
        return None


def wanted_of(version: DatasetRecord | VersionRecord, metadata: JsonObject) -> Wanted:
    """A versioned state that is to be again as it was once.

    Args:
        metadata: of that version.
    """
    return Wanted(
        metadata_digest=digest(metadata),
        data_type=version.data_type,
        data_format=version.data_format,
        data_location=version.data_location,
    )


def versions_after(
    history: Sequence[VersionRecord], seen: VersionId | None
) -> list[VersionRecord] | None:
    """Versions made after the one seen, oldest first; None when the history does not hold it.

    Args:
        history: newest first, as the service lists it.
        seen: None means that there was none, so that all are later.
    """
    if seen is None:
        return list(history[::-1])
    later: list[VersionRecord] = []
    for version in history:
        if version.version_id == seen:
            return later[::-1]
        later.append(version)
    return None
