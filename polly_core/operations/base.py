"""What every operation answers: plan, apply, settle, verify."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from polly_core.catalog.ports import Reader, Writer
from polly_core.models.catalog import DatasetRecord, RunId, VersionId, VersionRecord, WriteStamp
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import (
    Applied,
    Invalid,
    Item,
    Planned,
    Settled,
    Skipped,
    Unchanged,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A planned item with the metadata to be written, which the plan row only digests."""

    planned: Planned
    metadata: JsonObject | None


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether the promise was kept; ``problems`` says what was found instead."""

    problems: tuple[str, ...] = ()
    between: tuple[VersionId, ...] = ()
    """Foreign versions that stand between the one seen and ours, oldest first."""
    repeated: tuple[VersionId, ...] = ()
    """Later versions with exactly our content, where the write was sent more than once."""


class Operation(Protocol):
    """One operation with its change. Thread-safe: the same object serves every item of a run.

    Errors of the catalog pass through; the engine knows what each means for the item.
    """

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord
    ) -> Draft | Unchanged | Skipped | Invalid:
        """Decide, read-only, what is to be done to the dataset as ``record`` has it."""
        ...

    def draft(self, reader: Reader, planned: Planned) -> Draft:
        """What a stored plan writes. The change is not evaluated again.

        Raises:
            InvalidInput: the plan does not fit the version it was made at.
        """
        ...

    def apply(self, writer: Writer, draft: Draft, stamp: WriteStamp) -> Applied:
        """Do exactly what the plan says, in one request."""
        ...

    def settle(self, reader: Reader, planned: Planned, run_id: RunId) -> Settled:
        """Find out by reading whether a write whose answer was lost has happened."""
        ...

    def verify(
        self,
        reader: Reader,
        planned: Planned,
        version: VersionId,
        *,
        full: bool,
        resent: bool,
    ) -> Verified:
        """Read what must be read to know that ``version`` is ours and follows the one seen.

        Args:
            full: read the content back as well.
            resent: the write was sent more than once, so that a request given up as lost may have
                been delivered after all.
        """
        ...


def versions_after(history: Sequence[VersionRecord], seen: VersionId) -> list[VersionRecord] | None:
    """Versions made after the one seen, oldest first; None when the history does not hold it.

    Args:
        history: newest first, as the service lists it.
    """
    later: list[VersionRecord] = []
    for version in history:
        if version.version_id == seen:
            return later[::-1]
        later.append(version)
    return None
