"""Checks at any later time that what a run promised is so, and what its user asserts."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from polly_core.catalog.ports import Reader
from polly_core.engine.gather import gather
from polly_core.engine.pool import Kind, Pool
from polly_core.engine.shard import twice
from polly_core.errors import CatalogError, InvalidInput, NotFound, StorageError
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import OperationName, RunOptions
from polly_core.operations.base import Operation, Written
from polly_core.planning.asserting import Assertions, Broken

CHUNK = 500
MOST_FINDINGS = 1000
GONE = "the dataset is gone"
LATER = "; that version is later than the run's and somebody else's"


class Finding(Model):
    """One dataset whose promise could not be found kept, or that breaks an assertion."""

    dataset_id: str
    problems: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()

    def texts(self) -> tuple[str, ...]:
        """Everything that was found, in words."""
        return (*self.problems, *map(str, self.broken))


class Verification(Model):
    """What checking every written item of a run came to."""

    run_id: RunId
    checked: int
    kept: int
    """Items that are as promised."""
    assertions: tuple[str, ...] = ()
    broken: int = 0
    """Datasets that break one of them."""
    findings: tuple[Finding, ...] = ()
    """At most ``MOST_FINDINGS``."""
    bad: int = 0
    """Datasets with a finding of either kind."""

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.bad

    def told(self) -> str:
        """One line without metadata values: it goes into the ledger, logs and Prefect."""
        parts = []
        if self.kept < self.checked:
            bad = next((one for one in self.findings if one.problems), None)
            example = f", for example {bad.dataset_id}: {bad.problems[0]}" if bad else ""
            number = self.checked - self.kept
            parts.append(
                f"{number} of {self.checked} written datasets are not as promised{example}"
            )
        if self.broken:
            worst = next((one for one in self.findings if one.broken), None)
            example = (
                f", for example {worst.dataset_id}: {worst.broken[0].assertion}" if worst else ""
            )
            parts.append(f"{self.broken} written datasets break an assertion{example}")
        return "; ".join(parts)


def assertions_of(
    operation: OperationName, options: RunOptions, more: tuple[str, ...] = ()
) -> Assertions:
    """The assertions of a run, and others besides.

    Raises:
        InvalidInput: one is no expression, or nothing could hold.
    """
    found = Assertions((*options.assertions, *more))
    if found and operation is OperationName.DELETE:
        raise InvalidInput(
            "--assert: a deletion leaves no dataset for which an assertion could hold; leave it out"
        )
    return found


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks items that are recorded as applied. Reads only, and not even the ledger."""

    run_id: RunId
    reader: Reader
    operation: Operation
    pool: Pool
    assertions: Assertions
    stopped: Callable[[], bool] = lambda: False
    """Asked now and then; what was checked by then is what is answered."""

    def verify(self, rows: Iterator[ItemRow], *, promises: bool = True) -> Verification:
        """Check history, content and files (unless only assertions are asked for)."""

        def look(row: ItemRow) -> Finding:
            problems = self._problems(row) if promises else ()
            return Finding(
                dataset_id=row.dataset_id, problems=problems, broken=tuple(self._broken(row))
            )

        checked = kept = 0
        broken: set[str] = set()
        bad: set[str] = set()
        findings: list[Finding] = []
        while not self.stopped() and (chunk := list(itertools.islice(rows, CHUNK))):
            checked += len(chunk)
            for found in gather(self.pool, Kind.CALL, look, chunk):
                kept += not found.problems
                if found.broken:
                    broken.add(found.dataset_id)
                if found.texts():
                    bad.add(found.dataset_id)
                    if len(findings) < MOST_FINDINGS:
                        findings.append(found)
        return Verification(
            run_id=self.run_id,
            checked=checked,
            kept=kept,
            assertions=self.assertions.texts,
            broken=len(broken),
            findings=tuple(findings),
            bad=len(bad),
        )

    def _problems(self, row: ItemRow) -> tuple[str, ...]:
        assert row.planned is not None
        written = Written(
            row.planned, row.version_after, row.done, row.attempt > 1, run_id=self.run_id
        )
        try:
            found = self.operation.verify(self.reader, written, full=True)
        except (CatalogError, StorageError, InvalidInput) as error:
            return (f"could not be read: {error}",)
        between = (
            (f"versions of someone else stand before ours: {', '.join(found.between)}",)
            if found.between
            else ()
        )
        again = (twice(found.repeated),) if found.repeated else ()
        return (*found.problems, *between, *again)

    def _broken(self, row: ItemRow) -> Iterator[Broken]:
        if not self.assertions or row.planned is None or row.planned.deletes:
            return
        try:
            record = self.reader.dataset(row.dataset_id)
            metadata = self.reader.metadata(record) if self.assertions.needs_metadata else None
        except NotFound:
            yield from self.assertions.all_broken(GONE)
            return
        except (CatalogError, StorageError, InvalidInput) as error:
            yield from self.assertions.all_broken(f"it could not be read: {error}")
            return
        later = LATER if row.version_after not in {None, record.version_id} else ""
        for one in self.assertions.broken(record, metadata):
            yield one.model_copy(update={"found": one.found + later})
