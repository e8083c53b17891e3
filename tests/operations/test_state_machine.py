"""Random histories over all operations, with deaths, resumes, retries, other people and undo.

Two things hold. Undo: where nobody else was, a dataset is afterwards as it was before the run,
however often run and undo died on the way. No silence: what somebody did is there, or a run that
knew it took it away, or a run says that it did not end well there.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.run import RETRIED, ItemState, OperationName, RunState
from polly_core.models.selection import Selection
from tests.operations.chores import IDS, NEW, Chore, fill
from tests.operations.others import Edit, Kind, do, told
from tests.operations.scenarios import Asked, Stands
from tests.operations.world import World

OPERATIONS = [one for one in OperationName if one is not OperationName.UNDO]
POINTS = list(Point)[:-1]
VERSIONED = [Kind.FIELD, Kind.ORGANISM, Kind.DATA, Kind.DELETE, Kind.REVIVE]
"""What somebody may do in the very moment before a write and is still seen: the history shows it.
Studies and files have none."""

ids = st.sampled_from(IDS)
some_ids = st.lists(st.sampled_from(IDS + NEW), min_size=1, max_size=3, unique=True)
deaths = st.none() | st.tuples(st.sampled_from(POINTS), st.integers(1, 5))


@dataclass
class Run:
    """A run of ours."""

    request: RunRequest
    before: dict[str, Stands]
    undoes: RunId | None = None
    whole: bool = True
    """Not only some fields."""
    scope: frozenset[str] = frozenset(IDS + NEW)
    ended: bool = False
    touched: dict[str, set[str]] = field(default_factory=dict)
    """Datasets where somebody else, or another run, was since it began, and who."""
    made: Counter[str] = field(default_factory=Counter)
    """Versions that it made, by dataset."""

    @property
    def operation(self) -> OperationName:
        assert self.request.operation is not None
        return self.request.operation

    def touch(self, name: str, who: str) -> None:
        """Somebody was at a dataset."""
        self.touched.setdefault(name, set()).add(who)

    def shared(self, undo: "Run") -> set[str]:
        """Datasets where somebody was who is neither this run nor its undo."""
        own = {undo.request.run_id}
        return {name for name, who in self.touched.items() if who - own}


class Histories(RuleBasedStateMachine):
    """Runs, what others do, and time."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="histories-")
        self.world: World
        self.runs: dict[RunId, Run] = {}
        self.edits: list[Edit] = []
        self.number = 0

    @initialize(enforcing=st.booleans())
    def begin(self, enforcing: bool) -> None:
        self.world = World(Path(self._folder.name) / "site", enforcing=enforcing)
        fill(self.world.site.fake)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._everything_ends()
        finally:
            self._folder.cleanup()

    # -- runs -------------------------------------------------------------------------------

    @rule(
        operation=st.sampled_from(OPERATIONS),
        names=some_ids,
        choice=st.integers(0, 11),
        barrier=st.booleans(),
        death=deaths,
    )
    def start(
        self,
        operation: OperationName,
        names: list[str],
        choice: int,
        barrier: bool,
        death: tuple[Point, int] | None,
    ) -> None:
        self.number += 1
        chore = Chore(operation, tuple(sorted(names)), f"v{self.number % 4}", choice)
        asked = chore.asked(self.world.site.folder)
        run = self._begun(operation, asked, barrier=barrier)
        self._carry_out(run, death)

    @precondition(lambda self: any(not run.ended for run in self.runs.values()))
    @rule(data=st.data(), death=deaths)
    def resume(self, data: st.DataObject, death: tuple[Point, int] | None) -> None:
        still = [run_id for run_id, run in self.runs.items() if not run.ended]
        self._carry_out(self.runs[data.draw(st.sampled_from(still))], death)

    @precondition(lambda self: any(run.ended for run in self.runs.values()))
    @rule(data=st.data(), anew=st.booleans(), death=deaths)
    def retry(self, data: st.DataObject, anew: bool, death: tuple[Point, int] | None) -> None:
        """What did not end well: in the same run, or by a new one."""
        failed = [
            run
            for run_id, run in self.runs.items()
            if run.ended
            and run.undoes is None
            and any(row.state in RETRIED for row in self.world.rows(run_id))
        ]
        if not failed:
            return
        run = data.draw(st.sampled_from(failed))
        if anew:
            asked = Asked(run.request.change or {}, Selection(failures_of=run.request.run_id))
            self._carry_out(self._begun(run.operation, asked), death)
        else:
            self.world.reopen(run.request.run_id)
            run.ended = False
            self._carry_out(run, death)

    @precondition(lambda self: any(run.ended for run in self.runs.values()))
    @rule(data=st.data(), how=st.sampled_from(["whole", "ids", "fields"]), death=deaths)
    def undo(self, data: st.DataObject, how: str, death: tuple[Point, int] | None) -> None:
        """Of the newest runs more often than not: there is more to be undone."""
        ended = [run_id for run_id, run in self.runs.items() if run.ended][-3:]
        run_id = data.draw(st.sampled_from(ended))
        change: dict[str, object] = {"run_id": run_id}
        scope = frozenset(IDS + NEW)
        if how == "ids":
            scope = frozenset(data.draw(some_ids))
            change["dataset_ids"] = sorted(scope)
        if how == "fields":
            change["fields"] = ["organism"]
        asked = Asked(change, Selection(written_by=run_id))  # type: ignore[arg-type]
        undo = self._begun(OperationName.UNDO, asked, barrier=True)
        undo.undoes, undo.whole, undo.scope = run_id, how != "fields", scope
        before = self.world.stands()
        try:
            self._carry_out(undo, death)
        except InvalidInput as refused:
            # Datasets and fields that the run did not write are refused before anything is begun.
            note(f"undo of {run_id}: {refused}")
            assert how != "whole"
            del self.runs[undo.request.run_id]
            assert self.world.stands() == before

    @rule(
        operation=st.sampled_from(OPERATIONS),
        names=some_ids,
        choice=st.integers(0, 11),
        deaths=st.tuples(deaths, deaths),
    )
    def there_and_back(
        self,
        operation: OperationName,
        names: list[str],
        choice: int,
        deaths: tuple[tuple[Point, int] | None, tuple[Point, int] | None],
    ) -> None:
        """A run and its undo, and deaths in both, with nobody else between."""
        self._leases_expire()
        self.number += 1
        chore = Chore(operation, tuple(sorted(names)), f"v{self.number % 4}", choice)
        run = self._begun(operation, chore.asked(self.world.site.folder))
        self._to_its_end(run, deaths[0])
        if run.ended:
            run_id = run.request.run_id
            asked = Asked({"run_id": run_id}, Selection(written_by=run_id))
            undo = self._begun(OperationName.UNDO, asked, barrier=True)
            undo.undoes = run_id
            self._to_its_end(undo, deaths[1])

    def _to_its_end(self, run: Run, death: tuple[Point, int] | None) -> None:
        self._carry_out(run, death)
        if not run.ended:
            self._carry_out(run, None)

    def _leases_expire(self) -> None:
        for run_id, run in self.runs.items():
            if not run.ended:
                self.world.leases_expire(run_id)

    @precondition(lambda self: any(not run.ended for run in self.runs.values()))
    @rule()
    def leases_of_the_dead_expire(self) -> None:
        self._leases_expire()

    # -- others -----------------------------------------------------------------------------

    @rule(name=ids, kind=st.sampled_from(list(Kind)))
    def somebody(self, name: str, kind: Kind) -> None:
        self._somebody(name, kind)

    @rule(
        operation=st.sampled_from(OPERATIONS),
        names=some_ids,
        choice=st.integers(0, 11),
        kind=st.sampled_from(VERSIONED),
        name=ids,
        moment=st.tuples(
            st.sampled_from([Point.PLANNED, Point.SENDING, Point.ANSWERED, Point.VERIFYING]),
            st.integers(1, 3),
        ),
    )
    def somebody_in_the_middle_of_a_run(
        self,
        operation: OperationName,
        names: list[str],
        choice: int,
        kind: Kind,
        name: str,
        moment: tuple[Point, int],
    ) -> None:
        self.number += 1
        chore = Chore(operation, tuple(sorted(names)), f"v{self.number % 4}", choice)
        run = self._begun(operation, chore.asked(self.world.site.folder))
        self._carry_out(run, None, somebody=(name, kind, moment))

    def _somebody(self, name: str, kind: Kind) -> None:
        fake = self.world.site.fake
        self.number += 1
        with fake.objects.lock:
            standing = [one for one in self.edits if one.stands(fake)]
            edit = do(fake, DatasetId(name), kind, self.number)
            if edit is None:
                return
            # What others take away from each other is their own affair.
            taken = [one for one in standing if not one.stands(fake)]
            self.edits = [one for one in self.edits if one not in taken] + [edit]
        for run in self.runs.values():
            run.touch(name, "somebody")

    # -- carrying out -----------------------------------------------------------------------

    def _begun(self, operation: OperationName, asked: Asked, *, barrier: bool = False) -> Run:
        request = self.world.site.ask(operation, asked, barrier=barrier, shard_size=2)
        run = Run(request, self.world.stands())
        self.runs[request.run_id] = run
        return run

    def _carry_out(
        self,
        run: Run,
        death: tuple[Point, int] | None,
        *,
        somebody: tuple[str, Kind, tuple[Point, int]] | None = None,
    ) -> None:
        versions, stood = self._versions(), self.world.stands()
        if somebody:
            name, kind, (at, passing) = somebody
            self.world.disturbed(
                run.request, lambda: self._somebody(name, kind), at=at, passing=passing
            )
            summary = self.world.carry_out(RunRequest(run_id=run.request.run_id))
        else:
            when, passing = death or (None, 1)
            summary = self.world.carry_out(run.request, at=when, passing=passing)
        note(f"{run.request.operation} {run.request.run_id}: {summary and summary.counts}")
        self._count_versions(run, versions)
        self._note_touched(run, stood)
        self._no_silence(run)
        run.ended = summary is not None and summary.state is RunState.FINISHED
        if run.ended:
            self._ended(run)

    def _versions(self) -> Counter[str]:
        fake = self.world.site.fake
        lives = fake._atlas._lives
        return Counter({name: len(life.versions) for name, life in lives.items()})

    def _count_versions(self, run: Run, before: Counter[str]) -> None:
        theirs = {one.version for one in self.edits}
        lives = self.world.site.fake._atlas._lives
        for name, life in lives.items():
            new = life.versions[before[name] :]
            run.made[name] += sum(one.version_id not in theirs for one in new)
            assert run.made[name] <= 1, f"written twice: {name} by run {run.request.run_id}"

    def _note_touched(self, run: Run, stood: dict[str, Stands]) -> None:
        now = self.world.stands()
        changed = {name for name in stood.keys() | now.keys() if stood.get(name) != now.get(name)}
        for other in self.runs.values():
            if other is not run:
                for name in changed:
                    other.touch(name, run.request.run_id)

    def _no_silence(self, run: Run) -> None:
        fake = self.world.site.fake
        gone = [edit for edit in self.edits if not edit.stands(fake)]
        rows = self.world.rows(run.request.run_id) if gone else []
        for edit in gone:
            assert told(edit, rows, fake), f"lost in silence: {edit}"
        self.edits = [edit for edit in self.edits if edit not in gone]

    def _ended(self, run: Run) -> None:
        rows = self.world.rows(run.request.run_id)
        for row in rows:
            note(f"  {row.dataset_id} {row.file_name} {row.state} {row.reasons}")
            assert row.state not in {ItemState.SELECTED, ItemState.PLANNED, ItemState.SENT}
        if run.undoes is not None and run.whole:
            self._as_before(run, self.runs[run.undoes])

    def _as_before(self, undo: Run, run: Run) -> None:
        now = self.world.stands()
        rows = self.world.rows(undo.request.run_id)
        # What another run holds is refused by name; the undo of an undo stands for its own scope.
        for name in (undo.scope & run.scope) - run.shared(undo):
            if any(row.dataset_id == name and _is_held(row.reasons) for row in rows):
                continue
            assert now.get(name) == run.before.get(name), f"{name} is not as it was"

    def _everything_ends(self) -> None:
        for run in list(self.runs.values()):
            if not run.ended:
                self._carry_out(run, None)
            hosted_ingestion = (
                run.request.operation is OperationName.INGEST and not self.world.enforcing
            )
            assert run.ended or hosted_ingestion


def _is_held(reasons: tuple[str, ...]) -> bool:
    return any(reason.startswith("held by run") for reason in reasons)


def _settings(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.timeout(600)
def test_histories() -> None:
    run_state_machine_as_test(Histories, settings=_settings(25, 10, derandomize=True))


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_many_long_histories() -> None:
    run_state_machine_as_test(Histories, settings=_settings(200, 50, derandomize=False))
