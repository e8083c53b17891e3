"""A catalog in memory, a ledger in a file, and runs between them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from polly_core.catalog.connect import Connection
from polly_core.catalog.ports import Ports
from polly_core.engine.points import Hook, Point, pass_by
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import Session, open_session
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunOptions, RunSummary, Verify
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from polly_core.transport.retry import Retrier

SET_REVIEWED: JsonObject = {"steps": [{"set": "reviewed", "value": True}]}


def at_passing(point: Point, passing: int, act: Callable[[], object]) -> Hook:
    """A hook that acts once, when a point is passed for the n-th time."""
    lock = threading.Lock()
    passed = 0

    def hook(here: Point) -> None:
        nonlocal passed
        if here is not point:
            return
        with lock:
            passed += 1
            due = passed == passing
        if due:
            act()

    return hook


@dataclass
class Rig:
    """Runs over one fake catalog and one ledger file."""

    folder: Path
    fake: FakeCatalog
    read_timeout: float = 0.2
    hook: Hook = field(default=pass_by)
    ledger_url: str = ""

    def __post_init__(self) -> None:
        self.ledger_url = self.ledger_url or f"sqlite:///{self.folder / 'ledger.db'}"

    def fill(self, number: int) -> None:
        """Datasets D0000… with a little metadata."""
        for position in range(number):
            self.fake.add(f"D{position:04}", {"organism": "human", "n": position})

    def surroundings(self) -> Surroundings:
        return Surroundings(
            api_url="http://fake.invalid",
            api_key=SecretStr("secret"),
            ledger_url=self.ledger_url,
            home=self.folder,
            connect_timeout=0.2,
            read_timeout=self.read_timeout,
        )

    def request(
        self,
        *,
        change: JsonObject | None = None,
        operation: OperationName = OperationName.UPDATE,
        selection: Selection | None = None,
        barrier: bool = False,
        run_id: str | None = None,
        **options: object,
    ) -> RunRequest:
        chosen = {"shard_size": 20, "concurrency": 8, "verify": Verify.AUTO, **options}
        return RunRequest(
            run_id=RunId(run_id or str(uuid4())),
            atlas_id=AtlasId("9"),
            operation=operation,
            change=SET_REVIEWED if change is None else change,
            selection=selection or Selection(),
            options=RunOptions.model_validate(chosen),
            barrier=barrier,
        )

    @contextmanager
    def session(self, request: RunRequest) -> Iterator[Session]:
        def connector(_connection: Connection, _retrier: Retrier) -> Ports:
            return self.fake

        # The hook may be changed while the session is open.
        with open_session(
            request,
            self.surroundings(),
            hook=lambda point: self.hook(point),  # noqa: PLW0108
            connector=connector,
        ) as session:
            yield session

    def run(self, request: RunRequest) -> RunSummary:
        """Carry a run out, shard after shard."""
        with self.session(request) as session:
            session.freeze()
            if request.barrier:
                session.plan()
            for shard in session.open_shards():
                session.run_shard(shard)
            return session.finish()

    def take_up(self, run_id: str) -> RunSummary:
        return self.run(RunRequest(run_id=RunId(run_id)))

    def items(self, run_id: str) -> list[ItemRow]:
        with open_ledger(self.ledger_url) as ledger:
            return list(ledger.items(RunId(run_id)))

    def state_of(self, run_id: str, dataset_id: str) -> ItemState:
        return next(row.state for row in self.items(run_id) if row.dataset_id == dataset_id)
