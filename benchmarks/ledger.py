"""What the ledger costs per item, beside the same rows written with bare sqlite3.

python -m benchmarks.ledger [--items 10000] [--shard 200] [--window 50] [--url URL]

Each item is frozen, leased, planned (a plan of about 3 KB), sent, applied, verified and freed, in
the transactions that the engine makes. Both sides commit durably (write-ahead log, FULL).
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Batch, Claim, NewShard, PlanRow, ShardNo
from polly_core.models.catalog import (
    AtlasId,
    CatalogRef,
    DatasetId,
    DatasetRecord,
    RunId,
    VersionId,
)
from polly_core.models.run import (
    Item,
    ItemState,
    OperationName,
    Outcome,
    PatchOp,
    Planned,
    RunOptions,
    RunSpec,
    Wanted,
)
from polly_core.models.selection import Selection

RUN = RunId("00000000-0000-4000-8000-000000000001")
CATALOG = CatalogRef(api_url="http://127.0.0.1:8000", atlas_id=AtlasId("9"), instance_id="i-1")
ABSTRACT = "Single-cell RNA sequencing of human tumour samples reveals the micro-environment. " * 15

BARE_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE items (
  seq INTEGER PRIMARY KEY, dataset_id TEXT UNIQUE, state TEXT, version_after TEXT, attempt INTEGER,
  sent_at INTEGER, outcome_at INTEGER, verified_at INTEGER
);
CREATE TABLE plans (seq INTEGER PRIMARY KEY, planned TEXT);
CREATE TABLE leases (dataset_id TEXT PRIMARY KEY);
"""
BARE_APPLY = """
UPDATE items SET state = 'applied', version_after = ?, outcome_at = 1, verified_at = 1 WHERE seq = ?
"""
BARE_SEND = "UPDATE items SET state = 'sent', attempt = attempt + 1, sent_at = 1 WHERE seq = ?"


def planned(seq: int) -> Planned:
    """A plan of about 3 KB: one long text is repaired, one short one mapped."""
    seen = DatasetRecord(
        dataset_id=dataset(seq),
        version_id=VersionId(f"{seq:032d}"),
        data_type="Transcriptomics",
        data_format="h5ad",
        data_location=f"s3://atlas/9/{seq}/data.h5ad?versionId={seq}",
        metadata_location=f"s3://atlas/9/{seq}/metadata.json?versionId={seq}",
        last_modified_at=1_700_000_000_000,
    )
    return Planned(
        seen=seen,
        patch=(
            PatchOp(op="replace", path="/abstract", value=ABSTRACT, before=ABSTRACT),
            PatchOp(op="replace", path="/organism", value=["Homo sapiens"], before="human"),
        ),
        wanted=Wanted(
            metadata_digest=f"{seq:064d}",
            data_type=seen.data_type,
            data_format=seen.data_format,
            data_location=seen.data_location,
        ),
    )


def dataset(seq: int) -> DatasetId:
    """The dataset of an item."""
    return DatasetId(f"GSE{seq:07d}_GPL11154")


def make_plans(items: int) -> None:
    """What both sides have done to them before they write."""
    for seq in range(items):
        planned(seq)


class Ours:
    """The ledger as the engine uses it."""

    def __init__(self, url: str, *, items: int, shard: int, window: int) -> None:
        self._ledger: Ledger = open_ledger(url)
        self._items, self._shard, self._window = items, shard, window

    def freeze(self) -> None:
        spec = RunSpec(
            catalog=CATALOG, operation=OperationName.UPDATE, change={}, selection=Selection()
        )
        self._ledger.create_run(RUN, spec, RunOptions())
        for number, seqs in enumerate(groups(range(self._items), self._shard)):
            frozen = tuple(Item(seq=seq, dataset_id=dataset(seq)) for seq in seqs)
            self._ledger.add_shard(RUN, NewShard(shard=ShardNo(number), items=frozen))
        self._ledger.seal(RUN)

    def execute(self) -> None:
        execution = self._ledger.begin_execution(RUN, process="benchmark", lease_seconds=600)
        for shard in self._ledger.shards(RUN):
            claim = self._ledger.claim_shard(RUN, shard.shard, execution)
            seqs = range(shard.first_seq, shard.first_seq + shard.size)
            self._one_shard(claim, seqs)
            self._ledger.finish_shard(claim)
        self._ledger.end_execution(execution)

    def _one_shard(self, claim: Claim, seqs: range) -> None:
        self._ledger.lease(claim, [dataset(seq) for seq in seqs])
        plans = [PlanRow(seq=seq, decision=planned(seq)) for seq in seqs]
        self._ledger.record_plans(claim, plans)
        before: range = range(0)
        for sent in [*groups(seqs, self._window), range(0)]:
            outcomes = tuple(
                Outcome(seq=seq, state=ItemState.APPLIED, version_after=VersionId(f"{seq:032d}"))
                for seq in before
            )
            freed = tuple(dataset(seq) for seq in before)
            batch = Batch(outcomes=outcomes, sent=tuple(sent), verified=tuple(before), freed=freed)
            self._ledger.commit(claim, batch)
            before = sent

    def read(self) -> None:
        applied = sum(row.state is ItemState.APPLIED for row in self._ledger.items(RUN))
        if applied != self._items:
            raise RuntimeError(f"expected {self._items} applied items, found {applied}")

    def close(self) -> None:
        self._ledger.close()


class Bare:
    """The same rows in the same transactions, without any check, model or total."""

    def __init__(self, path: Path, *, items: int, shard: int, window: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(BARE_TABLES)
        self._items, self._shard, self._window = items, shard, window

    def freeze(self) -> None:
        for seqs in groups(range(self._items), self._shard):
            rows = [(seq, dataset(seq)) for seq in seqs]
            statement = "INSERT INTO items VALUES (?, ?, 'selected', NULL, 0, NULL, NULL, NULL)"
            self._write((statement, rows))

    def execute(self) -> None:
        for seqs in groups(range(self._items), self._shard):
            self._write(("INSERT INTO leases VALUES (?)", [(dataset(seq),) for seq in seqs]))
            texts = [(seq, planned(seq).model_dump_json()) for seq in seqs]
            self._write(
                ("INSERT INTO plans VALUES (?, ?)", texts),
                ("UPDATE items SET state = 'planned' WHERE seq = ?", [(seq,) for seq in seqs]),
            )
            before = range(0)
            for sent in [*groups(seqs, self._window), range(0)]:
                self._write(
                    (
                        BARE_APPLY,
                        [(f"{seq:032d}", seq) for seq in before],
                    ),
                    (
                        BARE_SEND,
                        [(seq,) for seq in sent],
                    ),
                    (
                        "DELETE FROM leases WHERE dataset_id = ?",
                        [(dataset(seq),) for seq in before],
                    ),
                )
                before = sent

    def read(self) -> None:
        query = "SELECT * FROM items JOIN plans USING (seq) ORDER BY seq"
        if sum(1 for _ in self._db.execute(query)) != self._items:
            raise RuntimeError("items are missing")

    def close(self) -> None:
        self._db.close()

    def _write(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement, rows in statements:
            self._db.executemany(statement, rows)
        self._db.execute("COMMIT")


def groups(seqs: range, size: int) -> list[range]:
    """Consecutive parts."""
    return [seqs[start : start + size] for start in range(0, len(seqs), size)]


def measured(name: str, step: Callable[[], None], *, items: int) -> tuple[float, float]:
    """Milliseconds of CPU and of wall time per item."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"  {name:<28} {cpu / items * 1e3:8.4f} {wall / items * 1e3:8.4f}")
    return cpu / items * 1e3, wall / items * 1e3


def compare(side: Ours | Bare, name: str, *, items: int) -> float:
    """CPU per item of all that is written, without what making the plans costs their maker."""
    print(f"{name:<30} CPU ms   wall ms   per item")
    written = measured("freeze", side.freeze, items=items)[0]
    written += measured("lease, plan, send, outcome", side.execute, items=items)[0]
    made = measured("of that: plans as models", lambda: make_plans(items), items=items)[0]
    measured("read all", side.read, items=items)
    side.close()
    return written - made


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--shard", type=int, default=200)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--url", help="another ledger than a SQLite file, empty")
    given = parser.parse_args()
    size = {"items": given.items, "shard": given.shard, "window": given.window}
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/ledger.db"
        ours = compare(Ours(url, **size), "this ledger", items=given.items)
        bare = compare(Bare(Path(folder) / "bare.db", **size), "bare sqlite3", items=given.items)
    print(
        f"CPU per item written, without making its plan: {ours:.3f} ms, bare sqlite3 {bare:.3f} ms"
    )


if __name__ == "__main__":
    main()
