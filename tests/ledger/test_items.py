"""The life of items: what may follow on what, and that totals follow."""

from collections.abc import Iterable
from datetime import UTC
from itertools import product
from typing import Any

import pytest

from polly_core.errors import LedgerError
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Claim, PlanRow, ShardNo
from polly_core.models.catalog import DatasetId, VersionId
from polly_core.models.run import (
    Decision,
    Invalid,
    ItemState,
    Outcome,
    Planned,
    Skipped,
    Unchanged,
)
from tests.ledger import house
from tests.ledger.house import outcome

S = ItemState

# Written down a second time on purpose: what the architecture allows.
BY_COMMIT = {
    S.SELECTED: {S.UNCHANGED, S.SKIPPED, S.INVALID, S.FAILED},
    S.PLANNED: {S.SENT, S.DRIFTED, S.FAILED, S.UNCHANGED, S.SKIPPED, S.INVALID},
    S.SENT: {S.APPLIED, S.DRIFTED, S.FAILED, S.UNKNOWN, S.CONFLICT, S.PLANNED, S.UNCHANGED},
    S.UNKNOWN: {S.APPLIED, S.CONFLICT, S.PLANNED, S.FAILED, S.DRIFTED, S.UNCHANGED},
    S.APPLIED: {S.CONFLICT},
}
BY_PLANNING = {
    S.SELECTED: {S.PLANNED, S.UNCHANGED, S.SKIPPED, S.INVALID},
    S.PLANNED: {S.PLANNED, S.UNCHANGED, S.SKIPPED, S.INVALID},
    S.SENT: {S.PLANNED, S.UNCHANGED},
    S.UNKNOWN: {S.PLANNED, S.UNCHANGED},
    S.UNCHANGED: {S.UNCHANGED},
    S.SKIPPED: {S.SKIPPED},
    S.INVALID: {S.INVALID},
}


def decision(state: ItemState) -> Decision:
    match state:
        case S.PLANNED:
            return house.planned()
        case S.UNCHANGED:
            return Unchanged(version_seen=VersionId("v1"))
        case S.SKIPPED:
            return Skipped(reason="exists")
        case S.INVALID:
            return Invalid(reasons=("no organism", "no tissue"), version_seen=VersionId("v1"))
        case _:
            raise ValueError(state)


def bring(ledger: Ledger, claim: Claim, seq: int, state: ItemState) -> None:
    """An item in this state, by the shortest way."""
    if state is S.SELECTED:
        return
    if state in BY_PLANNING[S.SELECTED]:
        ledger.record_plans(claim, [PlanRow(seq=seq, decision=decision(state))])
        return
    ledger.record_plans(claim, house.plans([seq]))
    ledger.commit(claim, Batch(sent=(seq,)))
    if state is not S.SENT:
        ledger.commit(claim, Batch(outcomes=(outcome(seq, state),)))


def refused(seq: int, old: ItemState, new: ItemState) -> str:
    return rf"item {seq} \(dataset 'd{seq:06d}'\).*{old}.*{new}"


def test_outcomes_follow_only_on_what_they_may(ledger: Ledger) -> None:
    pairs = list(product(S, S))
    job = house.job(ledger, size=len(pairs))
    claim = job.claim()
    for seq, (old, new) in enumerate(pairs):
        bring(ledger, claim, seq, old)
        before = ledger.item(job.run_id, seq)
        batch = Batch(sent=(seq,)) if new is S.SENT else Batch(outcomes=(outcome(seq, new),))
        if old is new and new is not S.SELECTED:
            ledger.commit(claim, batch)
            assert ledger.item(job.run_id, seq) == before, "committed before: nothing changes"
        elif new in BY_COMMIT.get(old, ()):
            ledger.commit(claim, batch)
            assert ledger.item(job.run_id, seq).state is new
        else:
            with pytest.raises(LedgerError, match=refused(seq, old, new)):
                ledger.commit(claim, batch)
            assert ledger.item(job.run_id, seq) == before
    house.tallies_hold(ledger, job.run_id)


def test_plans_follow_only_on_what_they_may(ledger: Ledger) -> None:
    pairs = list(product(S, sorted(BY_PLANNING[S.SELECTED])))
    job = house.job(ledger, size=len(pairs))
    claim = job.claim()
    for seq, (old, new) in enumerate(pairs):
        bring(ledger, claim, seq, old)
        rows = [PlanRow(seq=seq, decision=decision(new))]
        if new in BY_PLANNING.get(old, ()):
            ledger.record_plans(claim, rows)
            item = ledger.item(job.run_id, seq)
            assert item.state is new
            assert (item.planned is not None) == (new is S.PLANNED)
        else:
            with pytest.raises(LedgerError, match=refused(seq, old, new)):
                ledger.record_plans(claim, rows)
            assert ledger.item(job.run_id, seq).state is old
    house.tallies_hold(ledger, job.run_id)


def test_decisions_are_read_back(ledger: Ledger) -> None:
    job = house.job(ledger, size=4)
    odd = house.planned(value={"text": "\ud800\0é", "n": [1, 1.0, 2**70, 1e-300, None, True]})
    rows = [
        PlanRow(seq=0, decision=odd),
        *(
            PlanRow(seq=seq, decision=decision(state))
            for seq, state in enumerate((S.UNCHANGED, S.SKIPPED, S.INVALID), start=1)
        ),
    ]
    ledger.record_plans(job.claim(), rows)
    planned, unchanged, skipped, invalid = ledger.items(job.run_id)
    assert planned.planned == odd
    assert planned.planned is not None
    assert str(planned.planned.patch[0].value) == str(odd.patch[0].value), "1 is not 1.0"
    assert (planned.version_seen, planned.outcome_at) == ("v1", None)
    assert (unchanged.version_seen, unchanged.planned) == ("v1", None)
    assert skipped.reasons == ("exists",)
    assert invalid.reasons == ("no organism", "no tissue")
    assert all(row.outcome_at is not None for row in (unchanged, skipped, invalid))


def test_planning_again_replaces_the_plan(ledger: Ledger) -> None:
    job = house.job(ledger, size=2)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0, 1]))
    again = house.planned(value="Mus musculus")
    ledger.record_plans(claim, [PlanRow(seq=0, decision=again)])
    assert [row.planned for row in ledger.items(job.run_id)] == [again, house.planned("d000001")]


def test_times_attempts_and_versions_of_an_item(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0]))
    ledger.commit(claim, Batch(sent=(0,)))
    sent = ledger.item(job.run_id, 0)
    assert (sent.attempt, sent.outcome_at) == (1, None)
    assert sent.sent_at is not None
    assert sent.sent_at.tzinfo is UTC

    again = outcome(0, S.PLANNED, why="429")
    ledger.commit(claim, Batch(outcomes=(again,), sent=(0,)))
    resent = ledger.item(job.run_id, 0)
    assert (resent.state, resent.attempt, resent.outcome_at) == (S.SENT, 2, None)

    inferred = outcome(0, S.APPLIED).model_copy(update={"inferred": True, "reasons": ("read",)})
    ledger.commit(claim, Batch(outcomes=(inferred,), verified=(0,)))
    done = ledger.item(job.run_id, 0)
    assert (done.version_seen, done.version_after) == ("v1", "v2-0")
    assert (done.inferred, done.reasons, done.attempt) == (True, ("read",), 2)
    assert done.outcome_at is not None
    assert done.verified_at == done.outcome_at
    assert done.planned == house.planned("d000000")


def test_a_batch_that_was_committed_before_changes_nothing(ledger: Ledger) -> None:
    job = house.job(ledger, size=4)
    claim = job.claim()
    ledger.record_plans(claim, house.plans(range(4)))
    ledger.lease(claim, [DatasetId("d000000")])
    ledger.commit(claim, Batch(sent=(0, 1, 2)))
    batch = Batch(
        outcomes=(
            outcome(0, S.APPLIED),
            outcome(1, S.UNKNOWN),
            outcome(1, S.FAILED, why="gone"),
            outcome(2, S.PLANNED, why="429"),
        ),
        sent=(3,),
        verified=(0,),
        freed=(DatasetId("d000000"),),
    )
    first = ledger.commit(claim, batch)
    before = list(ledger.items(job.run_id))
    again = Batch.model_validate({**batch.model_dump(), "outcomes": batch.outcomes[:1]})
    assert ledger.commit(claim, again) == first
    assert list(ledger.items(job.run_id)) == before
    assert [row.attempt for row in before] == [1, 1, 1, 1]


def test_another_version_of_the_same_outcome_is_refused(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    bring(ledger, claim, 0, S.APPLIED)
    other = Batch(outcomes=(outcome(0, S.APPLIED, version="v3"),))
    with pytest.raises(LedgerError, match=r"applied with version v2-0 .* applied with version v3"):
        ledger.commit(claim, other)


@pytest.mark.parametrize("state", [S.PLANNED, S.UNKNOWN, S.FAILED])
def test_a_version_that_a_step_made_comes_to_be_known_later(
    ledger: Ledger, state: ItemState
) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0]))
    ledger.commit(claim, Batch(sent=(0,)))
    for version in (None, "v2"):
        ledger.commit(claim, Batch(outcomes=(outcome(0, state, version=version),)))
    item = ledger.item(job.run_id, 0)
    assert (item.state, item.version_after) == (state, "v2")


def test_what_makes_no_version_is_applied_and_verified(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    ledger.record_plans(claim, [PlanRow(seq=0, decision=house.deletion("d000000"))])
    ledger.commit(claim, Batch(sent=(0,)))
    done = Batch(outcomes=(Outcome(seq=0, state=S.APPLIED),), verified=(0,))
    assert ledger.commit(claim, done) == ledger.commit(claim, done)
    item = ledger.item(job.run_id, 0)
    assert (item.state, item.version_seen, item.version_after) == (S.APPLIED, "v1", None)
    assert ledger.finish_shard(claim)


def test_a_plan_for_a_dataset_that_is_not_there(ledger: Ledger) -> None:
    job = house.job(ledger, size=3)
    never, ended = Planned(), Planned(ended=VersionId("v9"))
    nothing = Unchanged(version_seen=None)
    rows = [PlanRow(seq=seq, decision=one) for seq, one in enumerate((never, ended, nothing))]
    ledger.record_plans(job.claim(), rows)
    found = list(ledger.items(job.run_id))
    assert [item.version_seen for item in found] == [None, "v9", None]
    assert [item.planned for item in found] == [never, ended, None]


def test_one_wrong_item_undoes_the_whole_batch(ledger: Ledger) -> None:
    job = house.job(ledger, size=3)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0, 1]))
    ledger.commit(claim, Batch(sent=(0,)))
    before = list(ledger.items(job.run_id))
    for wrong in (
        Batch(outcomes=(outcome(0, S.APPLIED),), sent=(1, 2)),
        Batch(outcomes=(outcome(0, S.APPLIED),), sent=(1,), verified=(2,)),
        Batch(outcomes=(outcome(0, S.APPLIED), outcome(99, S.APPLIED))),
    ):
        with pytest.raises(LedgerError):
            ledger.commit(claim, wrong)
    assert list(ledger.items(job.run_id)) == before
    house.tallies_hold(ledger, job.run_id)


def test_a_claim_changes_only_its_own_shard(ledger: Ledger) -> None:
    job = house.job(ledger, shards=2, size=2)
    claim = job.claim(0)
    with pytest.raises(LedgerError, match=r"shard 0 .* has no item 2"):
        ledger.record_plans(claim, house.plans([2]))
    with pytest.raises(LedgerError, match=r"shard 0 .* has no item 2"):
        ledger.commit(claim, Batch(outcomes=(outcome(2, S.FAILED),)))


def test_only_what_ended_can_be_verified(ledger: Ledger) -> None:
    job = house.job(ledger, size=len(S))
    claim = job.claim()
    for seq, state in enumerate(S):
        bring(ledger, claim, seq, state)
        if state in {S.APPLIED, S.CONFLICT, S.UNCHANGED, S.SKIPPED}:
            ledger.commit(claim, Batch(verified=(seq,)))
        else:
            with pytest.raises(LedgerError, match=f"is {state} and cannot be verified"):
                ledger.commit(claim, Batch(verified=(seq,)))
    assert house.tallies_hold(ledger, job.run_id).counts.verified == 4


def test_a_verified_write_that_proves_a_conflict_stays_verified(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    bring(ledger, claim, 0, S.APPLIED)
    ledger.commit(claim, Batch(verified=(0,)))
    conflict = outcome(0, S.CONFLICT, version="v2-0", why="v1a stands between")
    counts = ledger.commit(claim, Batch(outcomes=(conflict,))).counts
    assert (counts.of(S.CONFLICT), counts.verified) == (1, 1)
    house.tallies_hold(ledger, job.run_id)


def test_items_are_found_by_state_shard_and_position(ledger: Ledger) -> None:
    job = house.job(ledger, shards=3, size=5)
    house.freeze(ledger, house.run_id(2), size=3)
    ledger.record_plans(job.claim(1), house.plans([5, 7, 9]))

    def seqs(
        *,
        states: Iterable[ItemState] | None = None,
        shard: int | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> list[int]:
        number = None if shard is None else ShardNo(shard)
        found = ledger.items(job.run_id, states=states, shard=number, after=after, limit=limit)
        return [row.seq for row in found]

    assert seqs() == list(range(15))
    assert seqs(after=11) == [12, 13, 14]
    assert seqs(limit=2) == [0, 1]
    assert seqs(limit=0) == []
    assert seqs(shard=1) == [5, 6, 7, 8, 9]
    assert seqs(shard=2, after=3, limit=1) == [10]
    assert seqs(shard=3) == []
    assert seqs(states=[S.PLANNED]) == [5, 7, 9]
    assert seqs(states=[S.PLANNED, S.SELECTED], shard=1, after=6) == [7, 8, 9]
    assert seqs(states=[]) == []
    with pytest.raises(LedgerError, match="no item 15"):
        ledger.item(job.run_id, 15)


def test_items_of_some_datasets(ledger: Ledger) -> None:
    job = house.job(ledger, size=1100)
    house.freeze(ledger, house.run_id(2), size=3, prefix="other")
    ledger.record_plans(job.claim(), house.plans([5, 1099]))

    def seqs(ids: Iterable[str], **options: Any) -> list[int]:
        datasets = [DatasetId(dataset_id) for dataset_id in ids]
        return [row.seq for row in ledger.items(job.run_id, dataset_ids=datasets, **options)]

    assert seqs(["d001099", "d000005", "d000007", "other000001", "gone"]) == [5, 7, 1099]
    assert seqs(["d001099", "d000005"], after=5) == [1099]
    assert seqs(["d001099", "d000005", "d000007"], states=[S.PLANNED], limit=1) == [5]
    assert seqs([]) == []
    all_but_one = [f"d{seq:06d}" for seq in range(1, 1100)]
    assert seqs(reversed(all_but_one), plans=False) == list(range(1, 1100))


def test_planned_items_are_counted_and_found_by_their_place(ledger: Ledger) -> None:
    job = house.job(ledger, size=6)
    claim = job.claim()
    house.freeze(ledger, house.run_id(2), size=3)
    assert (ledger.planned_count(job.run_id), ledger.nth_planned(job.run_id, 0)) == (0, None)
    ledger.record_plans(claim, house.plans([5, 1, 3]))
    ledger.record_plans(claim, [PlanRow(seq=3, decision=decision(S.SKIPPED))])
    ledger.commit(claim, Batch(sent=(1,)))
    ledger.commit(claim, house.applied([1]))
    assert ledger.planned_count(job.run_id) == 2
    assert [ledger.nth_planned(job.run_id, n) for n in range(3)] == [1, 5, None]


def test_reading_items_goes_on_while_they_change(ledger: Ledger) -> None:
    job = house.job(ledger, size=1000)
    claim = job.claim()
    reading = ledger.items(job.run_id)
    assert next(reading).seq == 0
    ledger.record_plans(claim, house.plans([0, 999]))
    rest = list(reading)
    assert [row.seq for row in rest] == list(range(1, 1000))
    assert rest[-1].state is S.PLANNED
