"""Whatever dies, and wherever: a call happened as a whole or not at all."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import event, select

from polly_core.ledger.database import Transaction
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Batch, Claim, Control, NewShard, Pace, ShardNo, Wanted
from polly_core.ledger.schema import metadata
from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState, RunOptions, RunState, StopReason
from tests.ledger import house

WRITER = Path(__file__).with_name("writer.py")
A, B = DatasetId("d000000"), DatasetId("d000001")


class Died(BaseException):
    """The process is gone from here on."""


@contextmanager
def dying_before(ledger: Ledger, statement: int) -> Iterator[None]:
    """Die before the given statement of what is done inside, counted from 0."""
    engine = ledger._database._engine
    seen = 0

    def listen(*_: object) -> None:
        nonlocal seen
        if seen == statement:
            raise Died
        seen += 1

    def run(tx: Transaction, *given: Any, **how: Any) -> object:
        listen()
        return past_sqlalchemy(tx, *given, **how)

    past_sqlalchemy = Transaction._run
    event.listen(engine, "before_cursor_execute", listen)
    try:
        with patch.object(Transaction, "_run", run):
            yield
    finally:
        event.remove(engine, "before_cursor_execute", listen)


def content(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with ledger._database.reading() as tx:
        return {
            table.name: sorted(map(tuple, tx.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@dataclass
class Scene:
    """A run half-way: one shard at work with a lease, one whose owner died."""

    job: house.Job
    claim: Claim
    dead: Claim


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    job = house.job(ledger, shards=3, size=4)
    dead = ledger.claim_shard(job.run_id, ShardNo(1), job.another_execution())
    claim = job.claim()
    ledger.lease(claim, [A])
    ledger.record_plans(claim, house.plans([0, 1, 2]))
    ledger.commit(claim, Batch(sent=(0, 1)))
    ledger.set_plan_digest(job.run_id, "digest")
    ledger.create_run(house.run_id(2), house.spec(), RunOptions())
    ledger.add_shard(house.run_id(2), NewShard(shard=ShardNo(0), items=house.items(0, 2)))
    failed = ledger.claim_shard(job.run_id, ShardNo(2), job.execution_id)
    ledger.commit(failed, Batch(outcomes=(house.outcome(8, ItemState.FAILED),)))
    ledger.finish_shard(failed)
    ledger.renew_execution(dead.execution_id, lease_seconds=0.01)
    time.sleep(0.02)
    return Scene(job=job, claim=claim, dead=dead)


BATCH = Batch(
    steps=(house.step(0, "data", location="s3://new"), house.step(0, "dataset", version_id="v2")),
    outcomes=(house.outcome(0, ItemState.APPLIED), house.outcome(1, ItemState.UNKNOWN)),
    sent=(2,),
    verified=(0,),
    freed=(A,),
)
OTHER = house.run_id(2)
PACE = Pace(rate=12.5, eta_seconds=None, concurrency=8, note="")
CALLS: dict[str, Callable[[Ledger, Scene], object]] = {
    "create_run": lambda ledger, _: ledger.create_run(
        house.run_id(3), house.spec(), RunOptions(), flow_run_id="f"
    ),
    "set_state": lambda ledger, scene: ledger.set_state(
        scene.job.run_id, RunState.STOPPED, stop=StopReason.PAUSED
    ),
    "set_plan_digest": lambda ledger, scene: ledger.set_plan_digest(scene.job.run_id, "d"),
    "set_options": lambda ledger, scene: ledger.set_options(
        scene.job.run_id, RunOptions(concurrency=1)
    ),
    "add_flow_run": lambda ledger, scene: ledger.add_flow_run(scene.job.run_id, "f"),
    "approve": lambda ledger, scene: ledger.approve(scene.job.run_id, "digest", 1, "curator"),
    "add_shard": lambda ledger, _: ledger.add_shard(
        OTHER, NewShard(shard=ShardNo(1), items=house.items(2, 2))
    ),
    "discard_selection": lambda ledger, _: ledger.discard_selection(OTHER),
    "seal": lambda ledger, _: ledger.seal(OTHER),
    "end_execution": lambda ledger, scene: ledger.end_execution(scene.job.execution_id),
    "declare_dead": lambda ledger, scene: ledger.declare_dead(scene.dead.execution_id),
    "finish_shard": lambda ledger, scene: ledger.finish_shard(scene.claim),
    "reopen": lambda ledger, scene: ledger.reopen(scene.job.run_id),
    "lease": lambda ledger, scene: ledger.lease(scene.claim, [A, B]),
    "release": lambda ledger, scene: ledger.release(scene.claim, [A]),
    "commit": lambda ledger, scene: ledger.commit(scene.claim, BATCH),
    "record_plans": lambda ledger, scene: ledger.record_plans(scene.claim, house.plans([2, 3])),
    "set_control": lambda ledger, scene: ledger.set_control(
        scene.job.run_id, Control(wanted=Wanted.CANCEL)
    ),
}
NOT_THE_SAME_TWICE: dict[str, Callable[[Ledger, Scene], object]] = {
    "tell_pace": lambda ledger, scene: ledger.tell_pace(scene.job.execution_id, PACE),
    "begin_execution": lambda _, scene: scene.job.another_execution(),
    "renew_execution": lambda ledger, scene: ledger.renew_execution(
        scene.job.execution_id, lease_seconds=2 * house.LONG
    ),
    "claim_shard": lambda ledger, scene: ledger.claim_shard(
        scene.job.run_id, ShardNo(1), scene.job.execution_id
    ),
}
READS = {
    *("run", "find_run", "runs", "executions", "shards", "items", "item", "standing", "counts"),
    *("control", "close", "name", "reaches_other_hosts", "approvals", "runs_of_origin"),
    *("planned_count", "nth_planned", "last_copies", "studies_seen"),
}


def test_every_call_that_writes_is_tested_here() -> None:
    public = {name for name in vars(Ledger) if not name.startswith("_")}
    assert public - READS == {*CALLS, *NOT_THE_SAME_TWICE}


@pytest.mark.parametrize("name", [*CALLS, *NOT_THE_SAME_TWICE])
def test_a_call_that_dies_at_any_statement_changed_nothing(
    ledger: Ledger, scene: Scene, name: str
) -> None:
    call = {**CALLS, **NOT_THE_SAME_TWICE}[name]
    before = content(ledger)
    for statement in range(100):
        try:
            with dying_before(ledger, statement):
                call(ledger, scene)
        except Died:
            assert content(ledger) == before, f"died before statement {statement}"
        else:
            break
    assert statement >= 1, "it was never made to die"
    assert content(ledger) != before
    for run in ledger.runs():
        house.tallies_hold(ledger, run.run_id)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_be_repeated_when_its_answer_was_lost(
    ledger: Ledger, scene: Scene, name: str
) -> None:
    answer = CALLS[name](ledger, scene)
    after = content(ledger)
    repeated = CALLS[name](ledger, scene)
    assert content(ledger) == after
    if name != "reopen":
        assert repeated == answer


def acknowledged(output: str) -> int:
    """The last commit that the writer saw succeed."""
    lines = [line for line in output.splitlines() if line.endswith(".")]
    return int(lines[-1].rstrip(".")) if lines else -1


def killed_after(url: str, seconds: float) -> str:
    """What a writer said until it was killed so long after its first commit."""
    command = [sys.executable, str(WRITER), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.kill()
        return first + writer.stdout.read()


def check_killed_writer(url: str, seconds: float) -> None:
    last = acknowledged(killed_after(url, seconds))
    assert last >= 0
    with open_ledger(url) as ledger:
        run = house.run_id(1)
        house.tallies_hold(ledger, run)
        attempts = sum(item.attempt for item in ledger.items(run))
        # Each commit sends one group of ten; one more may have been on its way.
        assert attempts // 10 - last in {1, 2}
        assert attempts % 10 == 0, "a group is sent as a whole"


def test_what_was_acknowledged_survives_kill_9(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        house.freeze(ledger, house.run_id(1), size=20)
    for seconds in (0.0, 0.05):
        check_killed_writer(ledger_url, seconds)


@pytest.mark.soak
def test_what_was_acknowledged_survives_many_kills(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        house.freeze(ledger, house.run_id(1), size=20)
    for number in range(25):
        check_killed_writer(ledger_url, 0.013 * number)
