"""Writes a ledger of the current schema, as SQL, for the tests of later versions.

    python -m tests.ledger.make_asset

Run it when a schema version is released, and keep the file for good.
"""

import sqlite3
import tempfile
from pathlib import Path

from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.migration import OURS
from polly_core.ledger.rows import Batch, Pace
from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState, RunOptions
from tests.ledger import house

PACE = Pace(rate=12.5, eta_seconds=40.0, concurrency=8, note="waiting: paused")
ASSETS = Path(__file__).with_name("assets")


def asset(version: int) -> Path:
    """The file of a version."""
    return ASSETS / f"schema_{version}.sql"


def fill(path: Path) -> None:
    """A run half-way: applied and verified, in doubt, planned, selected, invalid, leased."""
    with open_ledger(f"sqlite:///{path}") as ledger:
        job = house.job(ledger, shards=2, size=3)
        claim = job.claim()
        ledger.lease(claim, [DatasetId("d000001")])
        ledger.record_plans(claim, house.plans([0, 1, 2]))
        ledger.commit(claim, Batch(sent=(0, 1)))
        ledger.commit(claim, house.applied([0]).model_copy(update={"verified": (0,)}))
        other = job.claim(1)
        ledger.commit(other, Batch(outcomes=(house.outcome(3, ItemState.INVALID, why="empty"),)))
        ledger.commit(claim, Batch(steps=(house.step(1, "data", location="s3://new"),)))
        ledger.set_plan_digest(job.run_id, "digest")
        ledger.approve(job.run_id, "digest", 0, "curator")
        ledger.tell_pace(claim.execution_id, PACE)
        ledger.finish_shard(other)
        ledger.create_run(house.run_id(2), house.spec(), RunOptions(), origin=job.run_id)


def main() -> None:
    """Write the file of the current version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        fill(path)
        connection = sqlite3.connect(path)
        text = "\n".join(connection.iterdump()) + "\n"
        connection.close()
    asset(OURS.version).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
