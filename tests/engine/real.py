"""Runs over a real server, a ledger of the test's own, and what came of them."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from polly_core.engine.points import Hook, pass_by
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import open_session
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunOptions, RunSummary
from polly_core.models.selection import Selection
from tests.engine.child import carry_through
from tests.support.standing import Server, State, fill, snapshot

# Every kind of item: most are written, some also get another data type, two are as wanted
# already, one cannot be changed.
CHANGE: JsonObject = {
    "steps": [
        {
            "map": "organism",
            "vocabulary": {"human": "Homo sapiens", "Homo sapiens": "Homo sapiens"},
            "unmatched": "fail",
        },
        {"set": "reviewed", "value": True},
        {"set": "@data_type", "value": "Single cell", "when": "metadata.n == `3`"},
    ]
}
DONE: JsonObject = {"organism": "Homo sapiens", "reviewed": True}
UNCHANGED, INVALID, TYPED = ("D0005", "D0020"), "D0007", "D0003"


def datasets(number: int) -> dict[str, JsonObject]:
    """Datasets D0000… on which ``CHANGE`` does everything a change can do."""
    found: dict[str, JsonObject] = {
        f"D{n:04}": {"organism": "human", "n": n} for n in range(number)
    }
    found |= {name: {**DONE, "n": 0} for name in UNCHANGED if name in found}
    if INVALID in found:
        found[INVALID] = {"organism": "unicorn", "n": 7}
    return found


def written(number: int) -> list[str]:
    """The ids of those that ``CHANGE`` changes."""
    return [name for name in datasets(number) if name not in {*UNCHANGED, INVALID}]


def expected(number: int) -> dict[str, State]:
    """What a run that nobody disturbed makes of them."""
    after: dict[str, State] = {}
    for name, metadata in datasets(number).items():
        if name in written(number):
            data_type = "Single cell" if name == TYPED else "Bulk RNAseq"
            after[name] = State({**metadata, **DONE}, data_type, 2)
        else:
            after[name] = State(metadata, "Bulk RNAseq", 1)
    return after


@dataclass
class RealRig:
    """Runs on one fresh atlas of a real server."""

    server: Server
    folder: Path
    atlas_id: str = ""
    read_timeout: float = 5.0
    ledger_url: str = ""
    hook: Hook = field(default=pass_by)

    def __post_init__(self) -> None:
        self.atlas_id = self.atlas_id or self.server.new_atlas()
        self.ledger_url = self.ledger_url or f"sqlite:///{self.folder / 'ledger.db'}"

    def fill(self, number: int) -> None:
        fill(self.server, self.atlas_id, datasets(number))

    def surroundings(self) -> Surroundings:
        return Surroundings(
            api_url=self.server.api_url,
            api_key=SecretStr(self.server.api_key),
            ledger_url=self.ledger_url,
            home=self.folder,
            connect_timeout=5.0,
            read_timeout=self.read_timeout,
        )

    def request(
        self,
        *,
        change: JsonObject | None = None,
        selection: Selection | None = None,
        barrier: bool = False,
        **options: object,
    ) -> RunRequest:
        chosen = {"shard_size": 12, "concurrency": 4, **options}
        return RunRequest(
            run_id=RunId(str(uuid4())),
            atlas_id=AtlasId(self.atlas_id),
            change=CHANGE if change is None else change,
            selection=selection or Selection(),
            options=RunOptions.model_validate(chosen),
            barrier=barrier,
        )

    def run(self, request: RunRequest) -> RunSummary:
        """Carry a run out in this process, or take it up."""
        with open_session(request, self.surroundings(), hook=self.hook) as session:
            return carry_through(session, barrier=request.barrier)

    def take_up(self, request: RunRequest) -> RunSummary:
        """By its id alone."""
        return self.run(RunRequest(run_id=request.run_id, barrier=request.barrier))

    def items(self, request: RunRequest) -> list[ItemRow]:
        with open_ledger(self.ledger_url) as ledger:
            return list(ledger.items(request.run_id))

    def states(self, request: RunRequest) -> dict[ItemState, int]:
        """The items by state, counted here and not by the ledger."""
        return dict(Counter(row.state for row in self.items(request)))

    def standing(self) -> dict[str, State]:
        """What stands in the catalog now."""
        return snapshot(self.server, self.atlas_id)
