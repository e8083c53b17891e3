"""Random lives of a run, against a model in dictionaries."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from polly_core.errors import LedgerError, OwnershipLost
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Claim, PlanRow
from polly_core.models.run import RETRIED, ItemState
from tests.ledger import house
from tests.ledger.test_items import BY_COMMIT, BY_PLANNING, decision

S = ItemState
SIZE = 3
SHARDS = 2
OPEN = {S.SELECTED, S.PLANNED, S.SENT, S.UNKNOWN}
UNDER_WAY = {S.PLANNED, S.SENT, S.UNKNOWN}
ENDED = {S.APPLIED, S.CONFLICT, S.UNCHANGED, S.SKIPPED}
NO_OUTCOME = {S.SELECTED, S.SENT}
SEQS = st.integers(0, SIZE * SHARDS - 1)
STEPS = st.sampled_from(["data", "dataset", "attach:plot.png"])
DECISIONS = st.sampled_from(sorted(BY_PLANNING[S.SELECTED]))
# What mostly may follow, so that lives are long; and now and then anything.
OUTCOMES = st.one_of(
    st.sampled_from([S.APPLIED, S.UNKNOWN, S.FAILED, S.PLANNED, S.CONFLICT]), st.sampled_from(S)
)


class Refused(Exception):
    """The model does not allow it."""


@dataclass
class Model:
    """What the ledger must say."""

    states: dict[int, ItemState] = field(
        default_factory=lambda: dict.fromkeys(range(SIZE * SHARDS), S.SELECTED)
    )
    verified: set[int] = field(default_factory=set)
    attempts: Counter[int] = field(default_factory=Counter)
    steps: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def copy(self) -> "Model":
        attempts = Counter(self.attempts)
        return Model(dict(self.states), set(self.verified), attempts, dict(self.steps))

    def plan(self, shard: int, seq: int, state: ItemState) -> None:
        self.must_own(shard, seq)
        if state not in BY_PLANNING.get(self.states[seq], ()):
            raise Refused
        self.states[seq] = state
        self.steps.pop(seq, None)

    def commit(self, shard: int, batch: Batch) -> None:
        for step in batch.steps:
            self.must_own(shard, step.seq)
            done, name = self.steps.get(step.seq, ()), step.result.step
            if name in done:
                continue
            if self.states[step.seq] not in UNDER_WAY:
                raise Refused
            self.steps[step.seq] = (*done, name)
        for outcome in batch.outcomes:
            self.must_own(shard, outcome.seq)
            if outcome.state in NO_OUTCOME:
                raise Refused
            self.go(outcome.seq, outcome.state)
        for seq in batch.sent:
            self.must_own(shard, seq)
            self.attempts[seq] += self.go(seq, S.SENT)
        for seq in batch.verified:
            self.must_own(shard, seq)
            if self.states[seq] not in ENDED:
                raise Refused
            self.verified.add(seq)

    def go(self, seq: int, state: ItemState) -> bool:
        if self.states[seq] is state:
            return False
        if state not in BY_COMMIT.get(self.states[seq], ()):
            raise Refused
        self.states[seq] = state
        return True

    def must_own(self, shard: int, seq: int) -> None:
        if seq // SIZE != shard:
            raise Refused

    def is_done(self, shard: int) -> bool:
        return not any(self.states[seq] in OPEN for seq in range(shard * SIZE, (shard + 1) * SIZE))


class RunLife(RuleBasedStateMachine):
    """Executions plan, commit, repeat, die, take over and reopen, in any order."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        super().__init__()
        self.ledger = ledger
        self.job = house.job(ledger, number, shards=SHARDS, size=SIZE)
        self.model = Model()
        self.claims: dict[int, Claim] = {}
        self.void: list[Claim] = []

    @rule(shard=st.integers(0, SHARDS - 1))
    def claim(self, shard: int) -> None:
        if shard in self.claims:
            self.void.append(self.claims[shard])
        self.claims[shard] = self.job.claim(shard)

    @rule()
    def die_and_be_followed(self) -> None:
        self.ledger.declare_dead(self.job.execution_id)
        self.void += self.claims.values()
        self.claims = {}
        self.job.execution_id = self.job.another_execution()

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), seq=SEQS, state=DECISIONS)
    def plan(self, data: st.DataObject, seq: int, state: ItemState) -> None:
        claim = self.one_of_the_claims(data)
        rows = [PlanRow(seq=seq, decision=decision(state))]
        self.both(
            lambda model: model.plan(claim.shard, seq, state),
            lambda: self.ledger.record_plans(claim, rows),
        )

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), seqs=st.sets(SEQS, min_size=1, max_size=3))
    def send(self, data: st.DataObject, seqs: set[int]) -> None:
        self.commit_both(self.one_of_the_claims(data), Batch(sent=tuple(seqs)))

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        outcomes=st.lists(st.tuples(SEQS, OUTCOMES), max_size=3),
        steps=st.lists(st.tuples(SEQS, STEPS), max_size=2),
        sent=st.sets(SEQS, max_size=1),
        verified=st.sets(SEQS, max_size=1),
    )
    def commit(
        self,
        data: st.DataObject,
        outcomes: list[tuple[int, ItemState]],
        steps: list[tuple[int, str]],
        sent: set[int],
        verified: set[int],
    ) -> None:
        batch = Batch(
            steps=tuple(house.step(seq, name) for seq, name in steps),
            outcomes=tuple(house.outcome(seq, state) for seq, state in outcomes),
            sent=tuple(sent),
            verified=tuple(verified),
        )
        claim = self.one_of_the_claims(data)
        once = len({seq for seq, _ in outcomes} | sent) == len(outcomes) + len(sent)
        if self.commit_both(claim, batch) and once:
            self.ledger.commit(claim, batch)

    @precondition(lambda self: self.void)
    @rule(data=st.data(), seq=SEQS)
    def use_a_void_claim(self, data: st.DataObject, seq: int) -> None:
        claim = data.draw(st.sampled_from(self.void))
        with pytest.raises(OwnershipLost):
            self.ledger.commit(claim, Batch(sent=(seq,)))
        with pytest.raises(OwnershipLost):
            self.ledger.record_plans(claim, house.plans([seq]))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        claim = self.one_of_the_claims(data)
        assert self.ledger.finish_shard(claim) is self.model.is_done(claim.shard)
        self.void.append(self.claims.pop(claim.shard))

    @precondition(lambda self: not self.claims)
    @rule()
    def reopen(self) -> None:
        again = [seq for seq, state in self.model.states.items() if state in RETRIED]
        assert self.ledger.reopen(self.job.run_id) == len(again)
        self.model.states |= dict.fromkeys(again, S.SELECTED)
        for seq in again:
            self.model.steps.pop(seq, None)

    @invariant()
    def items_and_totals_are_those_of_the_model(self) -> None:
        found = list(self.ledger.items(self.job.run_id))
        assert {item.seq: item.state for item in found} == self.model.states
        assert {item.seq for item in found if item.verified_at} == self.model.verified
        done = {item.seq: tuple(one.step for one in item.done) for item in found if item.done}
        assert done == self.model.steps
        assert [item.attempt for item in found] == [self.model.attempts[i.seq] for i in found]
        assert all(item.planned for item in found if item.state in {S.PLANNED, S.SENT, S.APPLIED})
        assert all(item.version_after for item in found if item.state is S.APPLIED)
        house.tallies_hold(self.ledger, self.job.run_id)

    @invariant()
    def a_shard_with_work_left_is_not_done(self) -> None:
        for shard in self.ledger.shards(self.job.run_id):
            assert self.model.is_done(shard.shard) or not shard.done

    def one_of_the_claims(self, data: st.DataObject) -> Claim:
        return self.claims[data.draw(st.sampled_from(sorted(self.claims)))]

    def commit_both(self, claim: Claim, batch: Batch) -> bool:
        return self.both(
            lambda model: model.commit(claim.shard, batch),
            lambda: self.ledger.commit(claim, batch),
        )

    def both(self, on_model: Callable[[Model], None], on_ledger: Callable[[], object]) -> bool:
        """Do it to both; both refuse it as a whole, or neither does."""
        after = self.model.copy()
        try:
            on_model(after)
        except Refused:
            with pytest.raises(LedgerError):
                on_ledger()
            return False
        on_ledger()
        self.model = after
        return True


def live(ledger: Ledger, *, examples: int, steps: int) -> None:
    """Random lives, each of a run of its own."""
    numbers = count(1)

    class Life(RunLife):
        def __init__(self) -> None:
            super().__init__(ledger, next(numbers))

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None
        ),
    )


def test_short_lives(ledger: Ledger) -> None:
    live(ledger, examples=12, steps=20)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_long_lives(ledger: Ledger) -> None:
    live(ledger, examples=150, steps=80)
