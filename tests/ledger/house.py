"""Runs, items and plans to test the ledger with, and what must hold of it at any time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Claim, NewShard, PlanRow, ShardNo, Standing, StepDone
from polly_core.models.catalog import (
    AtlasId,
    CatalogRef,
    DatasetId,
    DatasetRecord,
    RunId,
    VersionId,
)
from polly_core.models.jsonvalue import JsonValue
from polly_core.models.run import (
    ExecutionId,
    Item,
    ItemState,
    OperationName,
    Outcome,
    PatchOp,
    Planned,
    RunOptions,
    RunSpec,
    StepResult,
    Wanted,
)
from polly_core.models.selection import Selection

LONG = 60.0
"""Seconds of a lease that no test outlives."""
CATALOG = CatalogRef(api_url="http://127.0.0.1:8000", atlas_id=AtlasId("9"), instance_id="i-1")


def run_id(number: int) -> RunId:
    """A run id that is told apart at its beginning."""
    return RunId(f"{number:08d}-0000-4000-8000-000000000000")


def spec(
    *,
    catalog: CatalogRef = CATALOG,
    operation: OperationName = OperationName.UPDATE,
    step: JsonValue = "organism",
) -> RunSpec:
    """A spec; another step is another spec."""
    return RunSpec(
        catalog=catalog, operation=operation, change={"steps": [step]}, selection=Selection()
    )


def items(first: int, size: int, *, prefix: str = "d") -> tuple[Item, ...]:
    """Consecutive items."""
    return tuple(
        Item(seq=seq, dataset_id=DatasetId(f"{prefix}{seq:06d}"))
        for seq in range(first, first + size)
    )


def planned(dataset_id: str = "d000000", *, value: JsonValue = "Homo sapiens") -> Planned:
    """What is to be done to a dataset."""
    seen = DatasetRecord(
        dataset_id=DatasetId(dataset_id),
        version_id=VersionId("v1"),
        data_type="Transcriptomics",
        data_format="h5ad",
        data_location="s3://atlas/data?versionId=1",
        metadata_location="s3://atlas/metadata?versionId=1",
        last_modified_at=1_700_000_000_000,
    )
    return Planned(
        seen=seen,
        patch=(PatchOp(op="replace", path="/organism", value=value, before="human"),),
        wanted=Wanted(
            metadata_digest="d1",
            data_type=seen.data_type,
            data_format=seen.data_format,
            data_location=seen.data_location,
        ),
    )


def deletion(dataset_id: str) -> Planned:
    """That a dataset is to be deleted."""
    return planned(dataset_id).model_copy(update={"patch": (), "wanted": None, "deletes": True})


def plans(seqs: Iterable[int]) -> list[PlanRow]:
    """Plans of items to be written."""
    return [PlanRow(seq=seq, decision=planned(f"d{seq:06d}")) for seq in seqs]


def outcome(seq: int, state: ItemState, *, version: str | None = None, why: str = "") -> Outcome:
    """An outcome; an applied one has a version by itself."""
    after = version or (f"v2-{seq}" if state is ItemState.APPLIED else None)
    return Outcome(
        seq=seq,
        state=state,
        version_after=None if after is None else VersionId(after),
        reasons=(why,) if why else (),
    )


def step(seq: int, name: str, **made: str) -> StepDone:
    """A step of an item, done."""
    return StepDone(seq=seq, result=StepResult.model_validate({"step": name, **made}))


def applied(seqs: Iterable[int]) -> Batch:
    """A batch of outcomes that went well."""
    return Batch(outcomes=tuple(outcome(seq, ItemState.APPLIED) for seq in seqs))


@dataclass
class Job:
    """A frozen run and an execution of it."""

    ledger: Ledger
    run_id: RunId
    execution_id: ExecutionId

    def claim(self, shard: int = 0) -> Claim:
        return self.ledger.claim_shard(self.run_id, ShardNo(shard), self.execution_id)

    def another_execution(self, *, seconds: float = LONG) -> ExecutionId:
        return self.ledger.begin_execution(self.run_id, process="other:2", lease_seconds=seconds)

    def states(self) -> list[ItemState]:
        return [item.state for item in self.ledger.items(self.run_id)]


def freeze(
    ledger: Ledger, run: RunId, *, shards: int = 1, size: int = 10, prefix: str = "d"
) -> None:
    """Register a run and freeze its selection."""
    ledger.create_run(run, spec(), RunOptions())
    first = count(0, size)
    for number in range(shards):
        frozen = items(next(first), size, prefix=prefix)
        ledger.add_shard(run, NewShard(shard=ShardNo(number), pages=(None,), items=frozen))
    ledger.seal(run)


def job(
    ledger: Ledger,
    number: int = 1,
    *,
    shards: int = 1,
    size: int = 10,
    prefix: str = "d",
    seconds: float = LONG,
) -> Job:
    """A frozen run with a living execution."""
    run = run_id(number)
    freeze(ledger, run, shards=shards, size=size, prefix=prefix)
    execution = ledger.begin_execution(run, process=f"host:{number}", lease_seconds=seconds)
    return Job(ledger=ledger, run_id=run, execution_id=execution)


def tallies_hold(ledger: Ledger, run: RunId) -> Standing:
    """The totals are those of the items themselves."""
    found = list(ledger.items(run))
    standing = ledger.standing(run)
    assert dict(standing.counts.by_state) == dict(Counter(item.state for item in found))
    assert standing.counts.verified == sum(item.verified_at is not None for item in found)
    return standing
