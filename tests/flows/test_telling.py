"""What is told to Prefect, and what happens when Prefect does not answer."""

import json
import socket
from uuid import uuid4

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from flows.artifacts import (
    TABLE_ROWS,
    item_table,
    percent_done,
    progress_text,
    report_markdown,
)
from flows.telling import RECONCILE_SECONDS, Teller
from polly_core.engine.meter import Progress
from polly_core.ledger.rows import ItemRow, ShardNo
from polly_core.models.catalog import DatasetId
from polly_core.models.run import Counts, ItemState, StopReason
from tests.flows.test_states import GOOD, HALF, MIXED, RUN, summary_of


class Clock:
    """Time that passes only by sleeping, ten times as fast."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += 10 * seconds


def progress_of(
    counts: dict[ItemState, int], *, eta: float | None = 75.0, note: str = ""
) -> Progress:
    """A run under way."""
    return Progress(
        counts=Counts(by_state=counts), rate=12.34, eta_seconds=eta, concurrency=16, note=note
    )


def test_a_server_that_is_away_is_no_error_and_is_told_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each kind of message is warned about once; at the end it is tried again for a while."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
    clock = Clock()
    settings = {PREFECT_API_URL: url, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
    with temporary_settings(settings):
        teller = Teller(str(uuid4()), clock=clock, sleep=clock.sleep)
        teller.tags({"a:b"})
        for _ in range(3):
            teller.progress(progress_of(GOOD), now=True)
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert teller.reconcile() is False
    assert clock.now >= RECONCILE_SECONDS
    assert "progress, tags" in caplog.records[-1].message


def test_progress_is_one_line_that_says_why() -> None:
    note = "waiting: the service refuses more than it gets"
    text = progress_text(progress_of({**MIXED, ItemState.PLANNED: 10}, note=note))
    assert text == (
        "10/20 datasets, 3 not well, 12.3/s with 16 in flight, about 1 min 15 s left, " + note
    )
    assert percent_done(progress_of({**MIXED, ItemState.PLANNED: 10})) == 50
    assert percent_done(progress_of({})) == 0


@pytest.mark.parametrize(
    ("counts", "stop", "next_step"),
    [
        (GOOD, None, "Nothing is left to do"),
        (MIXED, None, f"--failed-of {RUN}"),
        (HALF, StopReason.CANCELLED, f"polly-bulk resume {RUN}"),
    ],
)
def test_the_report_ends_with_what_to_do_next(
    counts: dict[ItemState, int], stop: StopReason | None, next_step: str
) -> None:
    page = report_markdown(summary_of(counts, stop=stop))
    assert next_step in page.splitlines()[-1]
    for state, number in counts.items():
        assert f"| {state.value} | {number} |" in page


def test_the_table_is_bounded_and_holds_no_metadata() -> None:
    """Prefect's UI draws every row at once."""
    item = ItemRow(
        seq=0,
        shard=ShardNo(0),
        dataset_id=DatasetId("d"),
        row={"metadata.patient": "Jane Roe"},
        state=ItemState.FAILED,
        reasons=("422 no such field", "and another"),
    )
    rows = item_table([item] * (TABLE_ROWS + 1))
    assert len(rows) == TABLE_ROWS
    assert rows[0]["reasons"] == "422 no such field; and another"
    assert "Jane" not in json.dumps(rows)
