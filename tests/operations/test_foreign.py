"""What others do to datasets while a run is at them, for every operation.

After the plan, in the moment before the write, between steps and right after: what they did is
there, or the run knew it when it planned, or it says that it did not end well there.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from polly_core.engine.points import Point
from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.run import ItemState, OperationName, RunState
from tests.operations.others import Edit, Kind, do, told
from tests.operations.scenarios import CREATE, SCENARIOS, Asked, Scenario
from tests.operations.sites import FakeSite
from tests.operations.world import World

AT_ONCE = (Kind.FIELD, Kind.DATA, Kind.DELETE, Kind.REVIVE)
"""What the history shows, even if it happens in the very moment before a write."""
ANY = (*AT_ONCE, Kind.STUDY, Kind.FILE, Kind.REPLACE, Kind.DETACH)

of_every_operation = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
either_service = pytest.mark.parametrize("enforcing", [True, False], ids=["enforcing", "hosted"])
long_form = pytest.mark.soak


@pytest.fixture(autouse=True)
def _short_waits() -> Iterator[None]:
    with patch("polly_core.engine.shard.SETTLE_MARGIN", 0.0):
        yield


class Others:
    """They do something to each dataset, each something else."""

    def __init__(self, site: FakeSite, kinds: tuple[Kind, ...], first: int) -> None:
        self._site = site
        self._kinds = deque(kinds)
        self._kinds.rotate(-first)
        self.edits: list[Edit] = []

    def at(self, dataset_id: str) -> None:
        """One of them does what is next of what can be done to it."""
        for _ in range(len(self._kinds)):
            kind = self._kinds[0]
            self._kinds.rotate(-1)
            made = do(self._site.fake, DatasetId(dataset_id), kind, len(self.edits))
            if made is not None:
                # What they take away from each other is their own affair.
                standing = [one for one in self.edits if one.stands(self._site.fake)]
                self.edits = [*standing, made]
                return

    def nothing_is_lost(self, run_id: str) -> None:
        rows, fake = self._site.rig.items(run_id), self._site.fake
        for edit in self.edits:
            assert edit.stands(fake) or told(edit, rows, fake), (
                f"lost in silence: {edit}; {[(row.state, row.reasons) for row in rows]}"
            )


def _site(tmp_path: Path, *, enforcing: bool) -> FakeSite:
    return FakeSite.make(tmp_path / "site", enforce_versions=enforcing)


FIRSTS = [0, 3, *(pytest.param(one, marks=long_form) for one in (1, 2, 4, 5, 6, 7))]


@pytest.mark.parametrize("first", FIRSTS)
@either_service
@of_every_operation
def test_after_the_plan(tmp_path: Path, scenario: Scenario, enforcing: bool, first: int) -> None:
    site = _site(tmp_path, enforcing=enforcing)
    request = scenario.request(site, barrier=True)
    others = Others(site, ANY, first)
    with site.rig.session(request) as session:
        session.freeze()
        session.plan()
        for row in site.rig.items(request.run_id):
            if row.planned is not None:
                others.at(row.dataset_id)
        for shard in session.open_shards():
            session.run_shard(shard)
        assert session.finish().state is RunState.FINISHED
    others.nothing_is_lost(request.run_id)


@pytest.mark.parametrize(
    "first", [0, pytest.param(1, marks=long_form), pytest.param(2, marks=long_form)]
)
@pytest.mark.parametrize("moment", ["before", "after"])
@either_service
@of_every_operation
def test_in_the_moment_of_a_write(
    tmp_path: Path, scenario: Scenario, enforcing: bool, moment: str, first: int
) -> None:
    """Before an item's first write, or right after it: between its steps, where it has several."""
    site = _site(tmp_path, enforcing=enforcing)
    request = scenario.request(site)
    others = Others(site, AT_ONCE if moment == "before" else ANY[:-2], first)
    ordered = site.fake.before_write if moment == "before" else site.fake.after_write
    for name in "ABCD":
        ordered(name, lambda name=name: others.at(name))  # type: ignore[misc]
    assert site.run(request).state is RunState.FINISHED
    others.nothing_is_lost(request.run_id)


@either_service
def test_an_edit_that_is_deleted_along_is_told(tmp_path: Path, enforcing: bool) -> None:
    site = _site(tmp_path, enforcing=enforcing)
    site.fake.add("A", {"mine": 1})
    site.fake.edit_before_write("A", DatasetChange(metadata={"theirs": 1}))
    request = site.ask(OperationName.DELETE, Asked({}), verify="auto")
    site.run(request)
    (row,) = site.rig.items(request.run_id)
    theirs = site.fake.versions(DatasetId("A"), include_deleted=True)[0].version_id
    if enforcing:
        assert row.state is ItemState.DRIFTED
        assert site.fake.dataset(DatasetId("A")).version_id == theirs
    else:
        assert row.state is ItemState.CONFLICT
        assert theirs in row.reasons[0]
        with pytest.raises(NotFound):
            site.fake.dataset(DatasetId("A"))


@either_service
def test_what_lives_again_after_a_deletion_is_no_conflict(tmp_path: Path, enforcing: bool) -> None:
    site = _site(tmp_path, enforcing=enforcing)
    site.fake.add("A", {"mine": 1})
    site.fake.after_write("A", lambda: site.fake.add("A", {"theirs": 1}))
    request = site.ask(OperationName.DELETE, Asked({}))
    assert site.run(request).counts.by_state == {ItemState.APPLIED: 1}


@either_service
def test_a_file_that_others_attached_between_steps_stays(tmp_path: Path, enforcing: bool) -> None:
    """The process dies when the dataset is there and its file is not; somebody attaches another."""
    world = World(tmp_path / "world", enforcing=enforcing)
    fake = world.site.fake
    request = CREATE.request(world.site, concurrency=1)
    assert world.carry_out(request, at=Point.SENDING, passing=3) is None
    theirs = fake.add_file("A", "A.txt", content=b"theirs")
    world.carry_out(request)
    row = next(row for row in world.rows(request.run_id) if row.dataset_id == "A")
    assert row.state is ItemState.FAILED
    assert theirs.file_location in row.reasons[0]
    assert "done before: data, dataset" in row.reasons[0]
    assert [file.file_location for file in fake.files(DatasetId("A"))] == [theirs.file_location]
