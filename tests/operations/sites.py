"""Places where scenarios play: a catalog in memory, and a real server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from polly_core.catalog.ports import Ports
from polly_core.engine.points import Hook, pass_by
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.run import OperationName, RunOptions, RunSummary, Verify
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import ChooseFault, no_faults
from tests.engine.child import carry_through
from tests.engine.real import RealRig
from tests.engine.rig import Rig
from tests.operations.scenarios import Asked, Stands, standing, versions
from tests.support.standing import Server, connected


class Came(NamedTuple):
    """What a run came to: in the catalog, in the server's record of it, in the ledger."""

    standing: dict[str, Stands]
    versions: dict[str, int]
    ingestions: dict[str, int]
    """How often the server recorded it for each dataset; empty where it does not."""
    states: dict[tuple[str, str], str]
    """Of each dataset and file name."""
    made: dict[tuple[str, str], bool]
    """Whether the ledger names the version that stands, where it stands."""


def _came(ports: Ports, rows: list[ItemRow], run_id: RunId) -> Came:
    asked = Counter(one.dataset_id for one in ports.reader.ingestions(run_id))
    stands = {one.dataset_id: one.version_id for one in ports.reader.datasets()}
    return Came(
        standing=standing(ports),
        versions=versions(ports),
        ingestions={str(name): number for name, number in asked.items()},
        states={(row.dataset_id, row.file_name): row.state.value for row in rows},
        made={
            (row.dataset_id, row.file_name): row.version_after == stands.get(row.dataset_id)
            for row in rows
            if row.version_after is not None
        },
    )


@dataclass
class FakeSite:
    """In memory."""

    rig: Rig

    @classmethod
    def make(
        cls, folder: Path, *, enforce_versions: bool = True, choose_fault: ChooseFault = no_faults
    ) -> "FakeSite":
        folder.mkdir(exist_ok=True)
        fake = FakeCatalog("9", enforce_versions=enforce_versions, choose_fault=choose_fault)
        return cls(Rig(folder, fake))

    @property
    def fake(self) -> FakeCatalog:
        return self.rig.fake

    @property
    def ports(self) -> Ports:
        return self.rig.fake

    @property
    def source(self) -> Ports:
        return self.rig.fake.another("8")

    @property
    def folder(self) -> Path:
        return self.rig.folder

    def ask(
        self,
        operation: OperationName,
        asked: Asked,
        *,
        barrier: bool = False,
        **options: object,
    ) -> RunRequest:
        chosen = {"verify": Verify.FULL, **options}
        return self.rig.request(
            operation=operation,
            change=asked.change,
            selection=asked.selection,
            barrier=barrier,
            **chosen,  # type: ignore[arg-type]
        )

    def run(self, request: RunRequest) -> RunSummary:
        return self.rig.run(request)

    def came(self, run_id: RunId) -> Came:
        return _came(self.ports, self.rig.items(run_id), run_id)


@dataclass
class RealSite:
    """Two fresh atlases of a running server."""

    rig: RealRig
    ports: Ports
    source: Ports

    @property
    def folder(self) -> Path:
        return self.rig.folder

    def ask(
        self,
        operation: OperationName,
        asked: Asked,
        *,
        barrier: bool = False,
        **options: object,
    ) -> RunRequest:
        chosen = {"shard_size": 4, "concurrency": 2, "verify": Verify.FULL, **options}
        return RunRequest(
            run_id=RunId(str(uuid4())),
            atlas_id=AtlasId(self.rig.atlas_id),
            operation=operation,
            change=asked.change,
            selection=asked.selection,
            options=RunOptions.model_validate(chosen),
            barrier=barrier,
        )

    def run(self, request: RunRequest, *, hook: Hook = pass_by) -> RunSummary:
        with open_session(request, self.rig.surroundings(), hook=hook) as session:
            return carry_through(session, barrier=request.barrier)

    def take_up(self, request: RunRequest) -> RunSummary:
        """By its id alone."""
        return self.run(RunRequest(run_id=request.run_id, barrier=request.barrier))

    def came(self, request: RunRequest) -> Came:
        return _came(self.ports, self.rig.items(request), request.run_id)


@contextmanager
def real_site(server: Server, folder: Path, *, read_timeout: float = 5.0) -> Iterator[RealSite]:
    """Fresh atlases, and connections to them."""
    folder.mkdir(exist_ok=True)
    rig = RealRig(server, folder, read_timeout=read_timeout)
    here, there = connected(server, rig.atlas_id), connected(server, server.new_atlas())
    try:
        yield RealSite(rig, here, there)
    finally:
        here.close()
        there.close()
