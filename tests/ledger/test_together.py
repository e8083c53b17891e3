"""Several threads, executions and processes on one ledger."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from polly_core.errors import RunBusy
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Batch, ShardNo
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.run import ItemState, RunOptions
from tests.ledger import house

WORKER = Path(__file__).with_name("worker.py")


def at_once(number: int, call: Callable[[int], object]) -> list[object]:
    """What each call answered or raised; all of them begin together."""
    gate = Barrier(number)

    def one(n: int) -> object:
        gate.wait(30)
        try:
            return call(n)
        except RunBusy as busy:
            return busy

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def test_threads_work_on_shards_of_one_run(ledger: Ledger) -> None:
    job = house.job(ledger, shards=6, size=30)

    def work(shard: int) -> bool:
        claim = job.claim(shard)
        for start in range(30 * shard, 30 * shard + 30, 10):
            seqs = range(start, start + 10)
            ledger.lease(claim, [DatasetId(f"d{seq:06d}") for seq in seqs])
            ledger.record_plans(claim, house.plans(seqs))
            ledger.commit(claim, Batch(sent=tuple(seqs)))
            ledger.commit(claim, house.applied(seqs))
            ledger.commit(claim, Batch(verified=tuple(seqs)))
        return ledger.finish_shard(claim)

    assert at_once(6, work) == [True] * 6
    counts = house.tallies_hold(ledger, job.run_id).counts
    assert (counts.of(ItemState.APPLIED), counts.verified) == (180, 180)


def test_one_of_many_executions_gets_a_shard(ledger: Ledger) -> None:
    job = house.job(ledger)
    others = [job.another_execution() for _ in range(6)]
    answers = at_once(6, lambda n: ledger.claim_shard(job.run_id, ShardNo(0), others[n]))
    assert sum(not isinstance(answer, RunBusy) for answer in answers) == 1


def test_one_of_many_executions_takes_over_a_dead_one(ledger: Ledger) -> None:
    job = house.job(ledger, shards=4)
    for shard in range(4):
        job.claim(shard)
    ledger.renew_execution(job.execution_id, lease_seconds=0.0)
    others = [job.another_execution() for _ in range(8)]
    answers = at_once(8, lambda n: ledger.claim_shard(job.run_id, ShardNo(n % 4), others[n]))
    assert sum(not isinstance(answer, RunBusy) for answer in answers) == 4
    assert {shard.epoch for shard in ledger.shards(job.run_id)} == {2}


def test_each_dataset_has_one_holder(ledger: Ledger) -> None:
    jobs = [house.job(ledger, number, size=40) for number in range(5)]
    claims = [job.claim() for job in jobs]
    ids = [DatasetId(f"d{seq:06d}") for seq in range(40)]

    def lease(n: int) -> set[DatasetId]:
        mine = ids[n:] + ids[:n] if n % 2 else ids[::-1]
        return set(ids) - set(ledger.lease(claims[n], mine).by_dataset)

    granted = at_once(5, lease)
    holders = Counter(id_ for got in granted if isinstance(got, set) for id_ in got)
    assert holders == dict.fromkeys(ids, 1)


def test_a_run_is_registered_once(ledger: Ledger) -> None:
    run = house.run_id(1)

    def register(n: int) -> RunId:
        made = ledger.create_run(run, house.spec(), RunOptions(), flow_run_id=str(n))
        return made.run_id

    assert at_once(6, register) == [run] * 6
    assert sorted(ledger.run(run).flow_run_ids) == list("012345")


def test_a_new_ledger_is_opened_by_many_at_once(ledger_url: str) -> None:
    def open_and_use(n: int) -> int:
        with open_ledger(ledger_url) as ledger:
            ledger.create_run(house.run_id(n), house.spec(), RunOptions())
            return n

    assert at_once(6, open_and_use) == list(range(6))


@pytest.mark.timeout(300)
def test_processes_share_a_run(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        house.freeze(ledger, house.run_id(1), shards=8, size=25)
        command = [sys.executable, str(WORKER), ledger_url]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        done = [worker.communicate(timeout=240)[0] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0, 0]
        shards = sorted(int(number) for output in done for number in output.split())
        assert shards == list(range(8)), "each shard was finished by one process"
        counts = house.tallies_hold(ledger, house.run_id(1)).counts
        assert counts.of(ItemState.APPLIED) == 200
        assert {item.attempt for item in ledger.items(house.run_id(1))} == {1}
