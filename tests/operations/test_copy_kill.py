"""kill -9 at every point of a copy, then resume: what an undisturbed copy makes, once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import DatasetChange
from polly_core.models.run import ItemState, RunState
from tests.engine.child import Job, run_child
from tests.operations.realcopies import RealCopies, real_copies
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas
from tests.support.standing import ingestions

pytestmark = pytest.mark.timeout(180)

NUMBER = 6
KILLED = -9
Moment = tuple[Point, int, float]
"""A point, which passing of it, and how many seconds after that."""

# Six steps each: data, dataset, and for each of two files its object and the attachment. Points
# are killed at in turn by test_kill; here are moments between steps, most of them a long form.
MOMENTS = [
    (Point.PLANNED, 2, 0.0),
    (Point.SENDING, 14, 0.0),
    (Point.SENDING, 19, 0.002),
    (Point.ANSWERED, 13, 0.0),
]
MORE_MOMENTS = [
    (Point.FROZEN, 1, 0.0),
    (Point.OWNED, 2, 0.0),
    (Point.READ, 3, 0.0),
    (Point.INTENDED, 2, 0.0),
    *((Point.SENDING, passing, 0.0) for passing in (1, 6, 23, 36)),
    (Point.SENDING, 8, 0.004),
    *((Point.ANSWERED, passing, 0.0) for passing in (3, 18)),
    (Point.RECORDED, 1, 0.0),
    (Point.REPORTED, 1, 0.0),
]
VERIFIED = [
    (Point.SENDING, 11, 0.003),
    (Point.ANSWERED, 21, 0.0),
    (Point.VERIFYING, 2, 0.0),
]
MORE_VERIFIED = [
    (Point.SENDING, 5, 0.0),
    (Point.SENDING, 22, 0.0),
    (Point.ANSWERED, 8, 0.0),
    (Point.RECORDED, 1, 0.0),
    (Point.VERIFIED, 1, 0.0),
]
OVERWRITING = [
    (Point.SENDING, 10, 0.002),
    (Point.ANSWERED, 9, 0.0),
]
MORE_OVERWRITING = [
    (Point.PLANNED, 1, 0.0),
    (Point.SENDING, 4, 0.0),
    (Point.ANSWERED, 15, 0.0),
]


@pytest.fixture
def copies(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealCopies]:
    """Between two fresh atlases of the shared server."""
    with real_copies(atlas, tmp_path) as made:
        yield made


def _name(moment: Moment) -> str:
    point, passing, after = moment
    return f"{point}x{passing}" + (f"+{after * 1000:g}ms" if after else "")


def _moments(now: Sequence[Moment], long: Sequence[Moment]) -> pytest.MarkDecorator:
    soak = [pytest.param(one, id=_name(one), marks=pytest.mark.soak) for one in long]
    return pytest.mark.parametrize("moment", [*(pytest.param(m, id=_name(m)) for m in now), *soak])


def _killed(copies: RealCopies, request: RunRequest, moment: Moment) -> None:
    point, passing, after = moment
    surroundings = copies.rig.surroundings()
    code = run_child(Job(request, surroundings, at=point, passing=passing, after=after))
    assert code == KILLED, f"the child was not killed at {_name(moment)}, its exit code is {code}"


def _right(copies: RealCopies, request: RunRequest, *, versions: int = 1) -> None:
    summary = copies.rig.take_up(request)
    rows = copies.rig.items(request)
    assert copies.counts(summary) == {ItemState.APPLIED: NUMBER}, [row.reasons for row in rows]
    assert summary.state is RunState.FINISHED
    assert copies.there == copies.here
    assert copies.histories == {versions}


def _each_ingested_once(copies: RealCopies, request: RunRequest) -> None:
    recorded = ingestions(copies.server, copies.rig.atlas_id, request.run_id)
    assert sorted(one.dataset_id for one in recorded) == [f"D{n:03}" for n in range(NUMBER)]
    versions = {row.dataset_id: row.version_after for row in copies.rig.items(request)}
    assert all(one.version_id == versions[one.dataset_id] for one in recorded)


@_moments(MOMENTS, MORE_MOMENTS)
def test_killed_and_resumed(copies: RealCopies, moment: Moment) -> None:
    copies.fill(NUMBER)
    request = copies.request(options={"shard_size": 3})
    _killed(copies, request, moment)
    _right(copies, request)
    _each_ingested_once(copies, request)


@_moments(VERIFIED, MORE_VERIFIED)
def test_killed_and_resumed_without_preconditions(
    rehearsed: RehearsedAtlas, tmp_path: Path, moment: Moment
) -> None:
    with real_copies(rehearsed, tmp_path, read_timeout=2.0) as copies:
        copies.fill(NUMBER)
        request = copies.request(options={"shard_size": 3})
        with rehearsed.told(HOSTED):
            _killed(copies, request, moment)
            _right(copies, request)
        _each_ingested_once(copies, request)


@_moments(OVERWRITING, MORE_OVERWRITING)
@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_overwriting_killed_and_resumed(copies: RealCopies, moment: Moment, barrier: bool) -> None:
    """Metadata, study and a file changed everywhere; the linked files have to stay."""
    copies.fill(NUMBER)
    assert copies.counts(copies.copy()) == {ItemState.APPLIED: NUMBER}
    for n in range(NUMBER):
        copies.edit(f"D{n:03}", DatasetChange(metadata={"now": n}, study_id=None))
        copies.attach(f"D{n:03}", "tiny.txt", f"other {n} ".encode() * 300)
    request = copies.request("promote", barrier=barrier)
    _killed(copies, request, moment)
    _right(copies, request, versions=2)
    _each_ingested_once(copies, request)


@_moments([(Point.ANSWERED, 3, 0.0)], [(Point.SENDING, 2, 0.0), (Point.INTENDED, 1, 0.0)])
def test_files_alone_killed_and_resumed(copies: RealCopies, moment: Moment) -> None:
    """No version is made, so what was attached before must not be taken for somebody else's."""
    copies.fill(NUMBER)
    assert copies.counts(copies.copy()) == {ItemState.APPLIED: NUMBER}
    for n in range(NUMBER):
        for name in ("tiny.txt", "another.txt", "third.txt"):
            copies.attach(f"D{n:03}", name, f"{name} {n} ".encode() * 300)
    request = copies.request("overwrite", barrier=True, options={"concurrency": 1})
    _killed(copies, request, moment)
    _right(copies, request)
