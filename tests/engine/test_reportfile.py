"""Reports: what they hold, and that they are manifests of the next run."""

import csv
import io
import json
from pathlib import Path

import pytest

from polly_core.engine.report import ReportRow, notable_items, report_rows
from polly_core.engine.reportfile import COLUMNS, FORMATS, write_rows
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState
from polly_core.models.selection import Selection
from tests.engine.rig import Rig

ROWS = [
    ReportRow(
        dataset_id="D0000",
        outcome=ItemState.APPLIED,
        version_before="v1",
        version_after="v2",
        verified=True,
    ),
    ReportRow(
        dataset_id="D0001",
        outcome=ItemState.INVALID,
        version_before="v1",
        reasons=('wants a "text", has\ttab', "höher; \n two lines"),
    ),
    ReportRow(dataset_id="NA", outcome=ItemState.SELECTED, inferred=True),
]


def _written(kind: str, rows: list[ReportRow]) -> bytes:
    stream = io.BytesIO()
    assert write_rows(rows, kind, stream) == len(rows)
    assert not stream.closed
    return stream.getvalue()


def test_json_lines_come_back_as_they_were() -> None:
    lines = _written("jsonl", ROWS).decode().splitlines()
    assert [ReportRow.model_validate_json(line) for line in lines] == ROWS


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_come_back_cell_by_cell(kind: str, delimiter: str) -> None:
    text = _written(kind, ROWS).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert [row["dataset_id"] for row in rows] == ["D0000", "D0001", "NA"]
    assert [row["outcome"] for row in rows] == ["applied", "invalid", "selected"]
    assert rows[1]["reasons"] == "; ".join(ROWS[1].reasons)
    assert rows[2]["version_before"] == ""
    assert tuple(rows[0]) == COLUMNS


def test_parquet_has_types_and_nulls() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(_written("parquet", ROWS)))
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert rows[0]["verified"] is True
    assert rows[1]["verified"] is False
    assert rows[1]["version_after"] is None
    assert rows[2]["dataset_id"] == "NA"


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_to_report(kind: str) -> None:
    assert _written(kind, []) is not None


def test_parquet_is_written_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("polly_core.engine.sheetfile.PARQUET_ROWS", 2)
    written = pq.ParquetFile(io.BytesIO(_written("parquet", ROWS)))
    assert (written.num_row_groups, written.metadata.num_rows) == (2, 3)


CHANGE: JsonObject = {
    "steps": [{"map": "n", "vocabulary": {"0": 10, "1": 11}, "unmatched": "fail"}]
}


def _half_failed(rig: Rig) -> RunId:
    for number in range(4):
        rig.fake.add(f"D{number:04}", {"n": str(number)})
    return rig.run(rig.request(change=CHANGE, budget={"value": 9})).run_id


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
def test_a_report_is_a_manifest_of_the_next_run(rig: Rig, kind: str) -> None:
    """The failures of one run, retried with another change."""
    run_id = _half_failed(rig)
    path = rig.folder / f"failed.{kind}"
    with open_ledger(rig.ledger_url) as ledger, path.open("wb") as stream:
        rows = report_rows(ledger, run_id, states={ItemState.INVALID})
        assert write_rows(rows, kind, stream) == 2
    summary = rig.run(rig.request(selection=Selection(manifest_uri=str(path))))
    assert summary.counts.by_state == {ItemState.APPLIED: 2}
    assert {row.dataset_id for row in rig.items(summary.run_id)} == {"D0002", "D0003"}


def test_the_full_report_is_beside_the_ledger(rig: Rig) -> None:
    run_id = _half_failed(rig)
    path = rig.folder / "reports" / f"{run_id}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["applied", "applied", "invalid", "invalid"]
    versions = [rig.fake.dataset(row["dataset_id"]).version_id for row in rows]
    assert [row["version_after"] or row["version_before"] for row in rows] == versions
    assert not list(Path(rig.folder / "reports").glob("*.part"))


def test_what_did_not_end_well_comes_first(rig: Rig) -> None:
    run_id = _half_failed(rig)
    with open_ledger(rig.ledger_url) as ledger:
        found = notable_items(ledger, run_id, 3)
    assert [row.dataset_id for row in found] == ["D0002", "D0003", "D0000"]
