"""Checks at any later time that what a run promised is so."""

import itertools
from collections.abc import Callable, Iterator

from polly_core.engine.gather import gather
from polly_core.engine.pool import Kind, Pool
from polly_core.engine.shard import twice
from polly_core.errors import CatalogError, StorageError
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import Model
from polly_core.operations.base import Verified

CHUNK = 500
MOST_FINDINGS = 1000


class Finding(Model):
    """One dataset whose promise could not be found kept."""

    dataset_id: str
    problems: tuple[str, ...]


class Verification(Model):
    """What checking every written item of a run came to."""

    run_id: RunId
    checked: int
    kept: int
    findings: tuple[Finding, ...] = ()
    """At most ``MOST_FINDINGS``."""


def verify_items(
    run_id: RunId,
    rows: Iterator[ItemRow],
    pool: Pool,
    check: Callable[[ItemRow], Verified],
) -> Verification:
    """Check items recorded as applied: history, content, files. Writes nothing."""

    def problems(row: ItemRow) -> tuple[str, ...]:
        try:
            found = check(row)
        except (CatalogError, StorageError) as error:
            return (f"could not be read: {error}",)
        between = (
            (f"versions of someone else stand before ours: {', '.join(found.between)}",)
            if found.between
            else ()
        )
        again = (twice(found.repeated),) if found.repeated else ()
        return (*found.problems, *between, *again)

    checked, bad = 0, 0
    findings: list[Finding] = []
    while chunk := list(itertools.islice(rows, CHUNK)):
        for row, found in zip(chunk, gather(pool, Kind.CALL, problems, chunk), strict=True):
            checked += 1
            if found:
                bad += 1
                if len(findings) < MOST_FINDINGS:
                    findings.append(Finding(dataset_id=row.dataset_id, problems=found))
    return Verification(
        run_id=run_id, checked=checked, kept=checked - bad, findings=tuple(findings)
    )
