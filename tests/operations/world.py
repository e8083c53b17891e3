"""A catalog in memory and a ledger whose runs die anywhere: what came after a death never was.

A session that is to die goes on to its end, and then catalog and ledger are put back to the moment
at which it died: exactly what a killed process leaves, without one.
"""

import copy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from polly_core.engine.points import Hook, Point
from polly_core.engine.request import RunRequest
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import RunId
from polly_core.models.run import RunState, RunSummary
from tests.engine.rig import Rig, at_passing
from tests.operations.scenarios import Stands, stands
from tests.operations.sites import FakeSite

_ATLAS = ("_lives", "_metadata", "_count", "ingestions")
_OBJECTS = ("_contents", "_newest", "_count")
_LEDGER = ("", "-wal", "-shm")


@dataclass
class _Moment:
    """Catalog and ledger as they stood."""

    atlas: dict[str, Any]
    objects: dict[str, Any]
    ledger: bytes
    writes: int


class World:
    """One site, and time."""

    def __init__(self, folder: Path, *, enforcing: bool) -> None:
        self.site = FakeSite.make(folder, enforce_versions=enforcing)
        self.enforcing = enforcing
        self._names = count(1)
        self._dead: set[str] = set()
        self._process = ""

    @property
    def rig(self) -> Rig:
        return self.site.rig

    def rows(self, run_id: RunId) -> list[ItemRow]:
        """A run's items; none where the ledger never heard of it."""
        with open_ledger(self.rig.ledger_url) as ledger:
            return list(ledger.items(run_id))

    def stands(self) -> dict[str, Stands]:
        """Every dataset that lives."""
        fake = self.site.fake
        return {one.dataset_id: stands(fake, one) for one in fake.datasets()}

    def carry_out(
        self, request: RunRequest, *, at: Point | None = None, passing: int = 1
    ) -> RunSummary | None:
        """A run, or what resumes it; None where it died at that passing of that point."""
        died: list[_Moment] = []
        hook = at_passing(at, passing, lambda: died.append(self._moment())) if at else _nothing
        with self._process_of_its_own():
            summary = self._run(request, hook)
        if not died:
            return summary
        self._dead.add(self._process)
        self._go_back(died[0])
        return None

    def disturbed(
        self, request: RunRequest, act: Callable[[], object], *, at: Point, passing: int
    ) -> RunSummary:
        """A run, in the middle of which something else happens."""
        with self._process_of_its_own():
            return self._run(request, at_passing(at, passing, act))

    def leases_expire(self, run_id: RunId) -> None:
        """Time passes: whatever process died while it executed this run holds nothing any more."""
        with open_ledger(self.rig.ledger_url) as ledger:
            for execution in ledger.executions(run_id, living=True):
                ledger.declare_dead(execution.execution_id)

    def reopen(self, run_id: RunId) -> None:
        """What did not end well is to be planned again."""
        with open_ledger(self.rig.ledger_url) as ledger:
            ledger.reopen(run_id)
            ledger.set_state(run_id, RunState.SELECTED)

    def _run(self, request: RunRequest, hook: Hook) -> RunSummary:
        self.rig.hook = hook
        try:
            return self.rig.run(request)
        finally:
            self.rig.hook = _nothing

    @contextmanager
    def _process_of_its_own(self) -> Iterator[None]:
        self._process = f"process {next(self._names)}"
        name = self._process
        with ExitStack() as stack:
            execution = "polly_core.engine.execution"
            stack.enter_context(patch(f"{execution}.this_process", lambda: name))
            stack.enter_context(patch(f"{execution}.is_gone", self._dead.__contains__))
            stack.enter_context(patch("polly_core.engine.shard.SETTLE_MARGIN", 0.0))
            stack.enter_context(patch("polly_core.engine.runner.SETTLE_MARGIN", 0.0))
            yield

    def _moment(self) -> _Moment:
        """With the catalog's lock held: what the ledger says was written was, and the reverse."""
        fake = self.site.fake
        atlas, objects = fake._atlas, fake.objects
        with objects.lock:
            return _Moment(
                atlas={name: copy.deepcopy(getattr(atlas, name)) for name in _ATLAS},
                objects={name: copy.copy(getattr(objects, name)) for name in _OBJECTS},
                ledger=self._committed(),
                writes=len(fake.writes),
            )

    def _committed(self) -> bytes:
        """The ledger's file, with what is committed and nothing else."""
        with sqlite3.connect(self._file) as source, sqlite3.connect(":memory:") as target:
            source.backup(target)
            found = target.serialize()
        source.close()
        target.close()
        return found

    def _go_back(self, moment: _Moment) -> None:
        fake = self.site.fake
        for name, value in moment.atlas.items():
            setattr(fake._atlas, name, value)
        for name, value in moment.objects.items():
            setattr(fake.objects, name, value)
        del fake.writes[moment.writes :]
        for suffix in _LEDGER:
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        self._file.write_bytes(moment.ledger)

    @property
    def _file(self) -> Path:
        return Path(self.rig.ledger_url.removeprefix("sqlite:///"))


def _nothing(_point: Point) -> None:
    """Nobody dies."""
