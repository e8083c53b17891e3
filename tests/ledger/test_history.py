"""What earlier runs recorded, found again by dataset."""

import time

from polly_core.ledger.history import Copied
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Claim, NewShard, PlanRow, ShardNo
from polly_core.models.catalog import AtlasId, CatalogRef, DatasetId, StudyId, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import (
    Item,
    ItemState,
    OperationName,
    Planned,
    RunOptions,
    RunSpec,
)
from polly_core.models.selection import Selection
from tests.ledger import house
from tests.ledger.house import outcome

STAGING = CatalogRef(api_url="http://127.0.0.1:8000", atlas_id=AtlasId("1"), instance_id="i-1")
PRODUCTION = STAGING.model_copy(update={"atlas_id": AtlasId("2")})
A, B, C = (DatasetId(name) for name in "ABC")


def planned(dataset_id: str, version: str, *, study: str | None = None) -> Planned:
    plan = house.planned(dataset_id)
    assert plan.seen is not None
    changed = {"version_id": VersionId(version), "study_id": study and StudyId(study)}
    return plan.model_copy(update={"seen": plan.seen.model_copy(update=changed)})


def run(
    ledger: Ledger,
    number: int,
    plans: list[Planned],
    *,
    catalog: CatalogRef = PRODUCTION,
    operation: OperationName = OperationName.COPY,
    source: str = "1",
    undoes: Claim | None = None,
    fields: list[str] | None = None,
) -> Claim:
    """A run over A, B, … whose items are planned so."""
    run_id = house.run_id(number)
    change: JsonObject = {"from_atlas": source} if operation is OperationName.COPY else {}
    if undoes is not None:
        operation = OperationName.UNDO
        change = {"run_id": undoes.run_id, "fields": [*fields] if fields else None}
    spec = RunSpec(catalog=catalog, operation=operation, change=change, selection=Selection())
    ledger.create_run(run_id, spec, RunOptions(), origin=undoes.run_id if undoes else None)
    found = tuple(Item(seq=seq, dataset_id=DatasetId("ABC"[seq])) for seq in range(len(plans)))
    ledger.add_shard(run_id, NewShard(shard=ShardNo(0), items=found))
    ledger.seal(run_id)
    execution = ledger.begin_execution(run_id, process="p", lease_seconds=house.LONG)
    claim = ledger.claim_shard(run_id, ShardNo(0), execution)
    ledger.record_plans(claim, [PlanRow(seq=seq, decision=plan) for seq, plan in enumerate(plans)])
    return claim


def apply(ledger: Ledger, claim: Claim, *states: ItemState) -> None:
    time.sleep(0.002)  # the ledger's clock counts milliseconds
    ledger.commit(claim, Batch(sent=tuple(range(len(states)))))
    outcomes = tuple(
        outcome(seq, state, version=f"{claim.run_id[7]}-{seq}") for seq, state in enumerate(states)
    )
    ledger.commit(claim, Batch(outcomes=outcomes))


def test_the_newest_applied_copy_counts(ledger: Ledger) -> None:
    S = ItemState  # noqa: N806
    plans = [planned("A", "a1"), planned("B", "b1")]
    first, second = run(ledger, 1, plans), run(ledger, 2, plans)
    apply(ledger, second, S.APPLIED, S.FAILED)
    apply(ledger, first, S.APPLIED, S.APPLIED)
    apply(ledger, run(ledger, 3, plans, source="7"), S.APPLIED, S.APPLIED)
    apply(ledger, run(ledger, 4, plans, operation=OperationName.UPDATE), S.APPLIED, S.APPLIED)
    apply(ledger, run(ledger, 5, plans, catalog=STAGING), S.APPLIED, S.APPLIED)
    run(ledger, 6, plans)
    found = ledger.last_copies(STAGING, PRODUCTION, [A, B, C])
    assert {one: copied.last and copied.last.version_after for one, copied in found.items()} == {
        A: "1-0",
        B: "1-1",
    }
    assert (last := found[A].last) is not None
    assert last.planned == plans[0]
    apply(ledger, run(ledger, 7, plans), S.APPLIED, S.CONFLICT)
    found = ledger.last_copies(STAGING, PRODUCTION, [A, B])
    assert {one: copied.last and copied.last.version_after for one, copied in found.items()} == {
        A: "7-0",
        B: "1-1",
    }
    assert set(ledger.last_copies(STAGING, PRODUCTION, [B])) == {B}
    assert ledger.last_copies(STAGING, PRODUCTION, []) == {}


def _made(copied: Copied) -> tuple[str | None, str | None, str | None]:
    """Which copy counts, which was taken back, by which run: each by its number."""
    places = [row.version_after if row else None for row in (copied.last, copied.undone)]
    return places[0], places[1], copied.undone_by and copied.undone_by[7]


def test_a_copy_that_was_taken_back_does_not_count(ledger: Ledger) -> None:
    S = ItemState  # noqa: N806
    plans = [planned("A", "a1"), planned("B", "b1")]
    numbers = iter(range(1, 9))

    def done(*states: ItemState, **how: object) -> Claim:
        claim = run(ledger, next(numbers), plans, **how)  # type: ignore[arg-type]
        apply(ledger, claim, *states)
        return claim

    def known() -> dict[DatasetId, tuple[str | None, str | None, str | None]]:
        found = ledger.last_copies(STAGING, PRODUCTION, [A, B])
        return {one: _made(copied) for one, copied in found.items()}

    done(S.APPLIED, S.FAILED)
    second = done(S.APPLIED, S.APPLIED)
    done(S.APPLIED, S.APPLIED, undoes=second, fields=["organism"])
    assert known() == {A: ("2-0", None, None), B: ("2-1", None, None)}
    undo = done(S.APPLIED, S.CONFLICT, undoes=second)
    assert known() == {A: ("1-0", "2-0", "4"), B: (None, "2-1", "4")}
    again = done(S.APPLIED, S.FAILED, undoes=undo)
    assert known() == {A: ("2-0", None, None), B: (None, "2-1", "4")}
    done(S.APPLIED, S.FAILED, undoes=again)
    assert known() == {A: ("1-0", "2-0", "4"), B: (None, "2-1", "4")}
    third = done(S.APPLIED, S.APPLIED)
    assert known() == {A: ("7-0", None, None), B: ("7-1", None, None)}
    done(S.APPLIED, S.FAILED, undoes=third)
    assert known() == {A: ("1-0", "7-0", "8"), B: ("7-1", None, None)}


def test_copies_of_another_service_do_not_count(ledger: Ledger) -> None:
    apply(ledger, run(ledger, 1, [planned("A", "a1")]), ItemState.APPLIED)
    elsewhere = STAGING.model_copy(update={"instance_id": "i-2"})
    assert ledger.last_copies(elsewhere, PRODUCTION, [A]) == {}
    assert ledger.last_copies(PRODUCTION, STAGING, [A]) == {}


def test_much_history_is_found_in_parts(ledger: Ledger) -> None:
    job = house.job(ledger, size=1200)
    claim = job.claim()
    ledger.record_plans(claim, house.plans(range(1200)))
    ids = [DatasetId(f"d{seq:06d}") for seq in range(1200)]
    found = ledger.studies_seen(house.CATALOG, ids)
    assert found == {one: {"v1": None} for one in ids}
