"""This project, through its flow: ledger, engine, Prefect client and all."""

import os
import sqlite3
from pathlib import Path

from benchmarks.contestants.contest import Contest, contest_of_argv, measured
from flows.bulk_update import BulkUpdate, bulk_update
from flows.parameters import ExecutionForm
from polly_core.models.run import Verify


def main() -> None:
    """Run the flow as a user's program would; streaming, with the defaults in all else."""
    contest = contest_of_argv()
    ledger = contest.folder / "ledger.db"
    _environment(contest, ledger)
    execution = ExecutionForm(
        plan_first=False,
        yes=True,
        concurrency=contest.concurrency,
        verify=Verify.AUTO if contest.verify else Verify.OFF,
    )
    change = {"steps": [{"set": "new_field", "value": "foobar"}]}
    with measured() as clock:
        bulk_update(BulkUpdate(atlas_id=contest.atlas_id, change=change, run=execution))
        clock.ended_at = _last_commit(ledger)


def _environment(contest: Contest, ledger: Path) -> None:
    os.environ["POLLY_API_URL"] = contest.api_url
    os.environ["POLLY_API_KEY"] = contest.api_key
    os.environ["POLLY_S3_ENDPOINT_URL"] = contest.s3_endpoint_url
    os.environ["POLLY_LEDGER_URL"] = f"sqlite:///{ledger}"
    os.environ["POLLY_HOME"] = str(contest.folder)


def _last_commit(ledger: Path) -> float:
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
        [(last,)] = database.execute(
            "SELECT max(max(coalesce(outcome_at, 0), coalesce(verified_at, 0))) FROM items"
        )
    return float(last) / 1000


if __name__ == "__main__":
    main()
