"""Two runs of different operations on the same datasets: one waits, or is refused by name."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState, OnLease, OperationName, RunSummary
from polly_core.models.selection import Selection
from tests.engine.child import Job, run_child
from tests.engine.rig import Rig
from tests.operations.chores import Chore, fill
from tests.operations.scenarios import DATA, Asked, versions
from tests.operations.sites import FakeSite, RealSite, real_site
from tests.operations.weather import happened
from tests.support.atlas import RunningAtlas

APPLIED, FAILED = ItemState.APPLIED, ItemState.FAILED
ELSEWHERE = "another-host/boot/pid:[1]/4711/99"

# What the first run does to A, B and C, and the second to B, C and D, while the first is at it.
PAIRS = [
    (Chore(OperationName.UPDATE, ("A", "B", "C"), "v1", 0), OperationName.STUDY),
    (Chore(OperationName.DELETE, ("A", "B", "C"), "v1", 1), OperationName.UPDATE),
    (Chore(OperationName.COPY, ("A", "B", "C"), "v1", 0), OperationName.DELETE),
    (Chore(OperationName.ATTACH, ("A", "B", "C"), "v1", 0), OperationName.COPY),
    (Chore(OperationName.STUDY, ("A", "B", "C"), "v1", 1), OperationName.INGEST),
    (Chore(OperationName.UPDATE, ("A", "B", "C"), "v1", 1), OperationName.ATTACH),
]

_WRITES = {
    OperationName.UPDATE: Counter(update=1),
    OperationName.STUDY: Counter(update=1),
    OperationName.DELETE: Counter(delete=1),
    OperationName.INGEST: Counter(trigger=1),
    OperationName.ATTACH: Counter(attach=1),
    OperationName.COPY: Counter(update=1, attach=1, detach=1, create=1),
}
"""What each operation sends to one of these datasets at most."""


@pytest.fixture(params=["enforcing", "hosted"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> FakeSite:
    site = FakeSite.make(tmp_path / "site", enforce_versions=request.param == "enforcing")
    fill(site.fake)
    return site


@pytest.mark.parametrize("on_lease", list(OnLease))
@pytest.mark.parametrize(
    ("first", "operation"), PAIRS, ids=lambda one: getattr(one, "operation", one)
)
def test_while_one_is_at_it_the_other_waits_or_is_refused(
    site: FakeSite, first: Chore, operation: OperationName, on_lease: OnLease
) -> None:
    second = Chore(operation, ("B", "C", "D"), "v2", int(operation is OperationName.STUDY))
    holds = site.ask(first.operation, first.asked(site.folder))
    wants = site.ask(operation, second.asked(site.folder), on_lease=on_lease)
    before = len(site.fake.writes)
    held, other = _both(site, holds, wants, waits=on_lease is OnLease.WAIT)
    assert held.counts.by_state == {APPLIED: 3}
    rows = {row.dataset_id: row for row in site.rig.items(wants.run_id)}
    if on_lease is OnLease.REFUSE:
        assert other.counts.by_state == {APPLIED: 1, FAILED: 2}
        for name in ("B", "C"):
            assert rows[DatasetId(name)].state is FAILED
            assert f"held by run {holds.run_id}" in rows[DatasetId(name)].reasons[0]
    else:
        # It planned what the first had left, and not what stood before.
        assert not other.counts.of(ItemState.DRIFTED, ItemState.CONFLICT, FAILED)
    _nothing_twice(site, before, _WRITES[first.operation] + _WRITES[operation])


def _both(
    site: FakeSite, holds: RunRequest, wants: RunRequest, *, waits: bool
) -> tuple[RunSummary, RunSummary]:
    """The second run begins when the first has its leases, and before it writes."""
    owned, go_on = threading.Event(), threading.Event()

    def pause(point: Point) -> None:
        if point is Point.OWNED:
            owned.set()
            assert go_on.wait(60)

    holder = Rig(site.folder, site.fake, hook=pause)
    written = len(site.fake.writes)
    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(holder.run, holds)
        try:
            assert owned.wait(60)
            other = pool.submit(site.run, wants)
            if waits:
                wait([other], 0.7)
                assert not other.done(), "it did not wait"
                assert len(site.fake.writes) == written, "it wrote while it waited"
            else:
                other.result(60)
        finally:
            go_on.set()
        return holding.result(60), other.result(60)


def _nothing_twice(site: FakeSite, before: int, most: Counter[str]) -> None:
    """No dataset saw more writes of a kind than the two runs have for it."""
    for (dataset_id, kind), number in happened(site.fake, before).items():
        assert number <= most[kind], f"{kind} of {dataset_id} happened {number} times"


# -- leases of the dead -----------------------------------------------------------------------


@pytest.fixture
def real(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealSite]:
    with real_site(atlas, tmp_path / "site", read_timeout=1.0) as site:
        yield site


def test_what_a_dead_run_held_is_free_when_its_leases_expire(real: RealSite) -> None:
    """It dies on another host in the middle of new data; then its datasets are deleted."""
    first = DATA.request(real)
    job = Job(
        first,
        real.rig.surroundings().model_copy(update={"connect_timeout": 0.5}),
        at=Point.SENDING,
        passing=2,
        process=ELSEWHERE,
        lease_margin=2.0,
    )
    assert run_child(job) == -9
    ids = Asked({}, Selection(ids=tuple("ABD")))
    refused = real.run(real.ask(OperationName.DELETE, ids))
    assert refused.counts.by_state == {FAILED: 3}
    waiting = real.run(real.ask(OperationName.DELETE, ids, on_lease=OnLease.WAIT))
    assert waiting.counts.by_state == {APPLIED: 3}
    again = real.take_up(first)
    # What is deleted now is left alone, whatever had been done to it before.
    assert again.counts.of(ItemState.SENT, ItemState.PLANNED, ItemState.UNKNOWN) == 0
    assert [one.dataset_id for one in real.ports.reader.datasets()] == ["C"]
    assert all(number <= 2 for number in versions(real.ports).values())


def test_a_run_that_was_killed_here_is_undone(real: RealSite) -> None:
    """What is not known to have happened is for a resume; the rest goes back."""
    first = DATA.request(real, concurrency=1)
    surroundings = real.rig.surroundings().model_copy(update={"connect_timeout": 0.5})
    job = Job(first, surroundings, at=Point.VERIFYING, lease_margin=1.0)
    assert run_child(job) == -9
    asked = Asked({"run_id": first.run_id}, Selection(written_by=first.run_id))
    undo = real.ask(OperationName.UNDO, asked, barrier=True, on_lease=OnLease.WAIT)
    summary = real.run(undo)
    assert summary.counts.of(APPLIED) >= 1
    reasons = [row.reasons[0] for row in real.rig.items(undo) if row.state is ItemState.INVALID]
    assert all("resume the run first" in reason for reason in reasons)
