"""kill -9 at every point of an item's life, then resume: the catalog of an undisturbed run."""

import random
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.models.run import ItemState, RunState, RunSummary
from polly_core.server.rehearsal import Faults
from tests.engine.child import Job, child, exit_code, run_child
from tests.engine.real import RealRig, expected, written
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas
from tests.support.standing import ingestions

NUMBER = 28
KILLED = -9
ENDED = {
    ItemState.APPLIED: len(written(NUMBER)),
    ItemState.UNCHANGED: 2,
    ItemState.INVALID: 1,
}

# Which passing of each point, seconds after it: in the middle of the run, where there is one.
MOMENTS = [
    (Point.FROZEN, 1, 0.0),
    (Point.OWNED, 2, 0.0),
    (Point.READ, 15, 0.0),
    (Point.PLANNED, 2, 0.0),
    (Point.INTENDED, 3, 0.0),
    (Point.SENDING, 11, 0.0),
    (Point.SENDING, 9, 0.002),
    (Point.SENDING, 14, 0.008),
    (Point.ANSWERED, 11, 0.0),
    (Point.RECORDED, 2, 0.0),
    (Point.VERIFYING, 8, 0.0),
    (Point.VERIFIED, 2, 0.0),
    (Point.REPORTED, 1, 0.0),
]
BEHIND_A_BARRIER = {Point.PLANNED, Point.INTENDED, Point.SENDING}


def _name(moment: tuple[Point, int, float]) -> str:
    point, passing, after = moment
    return f"{point}x{passing}" + (f"+{after * 1000:g}ms" if after else "")


def _killed(rig: RealRig, request: RunRequest, moment: tuple[Point, int, float]) -> None:
    point, passing, after = moment
    code = run_child(Job(request, rig.surroundings(), at=point, passing=passing, after=after))
    assert code == KILLED, f"the child was not killed at {_name(moment)}, its exit code is {code}"


def _right(rig: RealRig, request: RunRequest, summary: RunSummary) -> None:
    """Everything as after an undisturbed run: the catalog and what the ledger says of it."""
    assert rig.standing() == expected(NUMBER)
    assert summary.state is RunState.FINISHED
    assert summary.exit_code == 1, "one item cannot be changed"
    assert summary.counts.by_state == ENDED
    assert rig.states(request) == ENDED
    for row in rig.items(request):
        assert (row.version_after is not None) == (row.state is ItemState.APPLIED)


def _each_ingested_once(rig: RealRig, request: RunRequest) -> None:
    recorded = ingestions(rig.server, rig.atlas_id, request.run_id)
    assert sorted(one.dataset_id for one in recorded) == written(NUMBER)
    versions = {row.dataset_id: row.version_after for row in rig.items(request)}
    assert all(one.version_id == versions[one.dataset_id] for one in recorded)


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_undisturbed(real: RealRig, barrier: bool) -> None:
    real.fill(NUMBER)
    request = real.request(barrier=barrier)
    _right(real, request, real.run(request))
    _each_ingested_once(real, request)


@pytest.mark.parametrize("moment", MOMENTS, ids=_name)
def test_killed_and_resumed(real: RealRig, moment: tuple[Point, int, float]) -> None:
    real.fill(NUMBER)
    request = real.request(verify="full")
    _killed(real, request, moment)
    summary = real.take_up(request)
    _right(real, request, summary)
    _each_ingested_once(real, request)
    assert summary.counts.verified == len(written(NUMBER))


@pytest.mark.parametrize(
    "moment", [moment for moment in MOMENTS if moment[0] in BEHIND_A_BARRIER], ids=_name
)
def test_killed_behind_a_barrier_and_resumed(
    real: RealRig, moment: tuple[Point, int, float]
) -> None:
    real.fill(NUMBER)
    request = real.request(barrier=True)
    _killed(real, request, moment)
    _right(real, request, real.take_up(request))
    _each_ingested_once(real, request)


@pytest.mark.parametrize("moment", MOMENTS, ids=_name)
def test_killed_and_resumed_without_preconditions(
    rehearsed: RehearsedAtlas, tmp_path: Path, moment: tuple[Point, int, float]
) -> None:
    rig = RealRig(rehearsed, tmp_path, read_timeout=2.0)
    rig.fill(NUMBER)
    request = rig.request()
    with rehearsed.told(HOSTED):
        _killed(rig, request, moment)
        summary = rig.take_up(request)
        _right(rig, request, summary)
        assert summary.counts.verified == len(written(NUMBER))
        rehearsed.turn(Faults())
        _each_ingested_once(rig, request)


def test_a_finished_run_taken_up_again_writes_nothing(real: RealRig) -> None:
    real.fill(NUMBER)
    request = real.request()
    first = real.run(request)
    again = real.run(request)
    assert again.counts == first.counts
    assert again.exit_code == first.exit_code
    assert real.standing() == expected(NUMBER)
    _each_ingested_once(real, request)


def _kill_at_random(rig: RealRig, chance: random.Random, *, barrier: bool) -> None:
    """Kill a run again and again at random moments; let it come to its end in between."""
    rig.fill(NUMBER)
    request = rig.request(barrier=barrier, verify="full")
    job = Job(request, rig.surroundings())
    with child(job) as process:
        process.join(chance.uniform(0.05, 0.9))
        process.kill()
        code = exit_code(process)
    assert code in {KILLED, 1}, "killed, or it was quicker"
    summary = rig.run(request)
    _right(rig, request, summary)
    _each_ingested_once(rig, request)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_a_random_moment(atlas: RunningAtlas, tmp_path: Path, seed: int) -> None:
    _kill_at_random(RealRig(atlas, tmp_path), random.Random(seed), barrier=bool(seed % 2))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 147))
def test_killed_at_many_random_moments(atlas: RunningAtlas, tmp_path: Path, seed: int) -> None:
    _kill_at_random(RealRig(atlas, tmp_path), random.Random(seed), barrier=bool(seed % 2))
