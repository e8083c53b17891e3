"""Reports: what they hold, and that they are manifests of the next run."""

import csv
import io
import json
from pathlib import Path

import pytest

from polly_core.engine.report import ReportRow, notable_items, report_rows
from polly_core.engine.reportfile import COLUMNS, FORMATS, write_rows
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, DatasetId, RunId, WriteStamp
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState
from polly_core.models.selection import Selection
from polly_core.planning.manifest import BY_FILE, manifest_rows, read_manifest
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


def _sheet(rig: Rig, name: str, rows: list[JsonObject]) -> Selection:
    path = rig.folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Selection(manifest_uri=str(path))


ASKED: list[JsonObject] = [
    {"dataset_id": "D0000", "metadata.n": 7, "metadata.text": "\\<null>", "data": "files/x.gct"},
    {"dataset_id": "D0001", "metadata.n": None, "metadata.gone": "<delete>", "study_id": None},
    {"dataset_id": "D0002", "metadata.n": 2**70, "metadata.tags": ["a"], "note": "a; b"},
]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_report_holds_the_cells_that_the_next_run_needs(rig: Rig, kind: str) -> None:
    """What was not processed is done by giving its report to the same operation."""
    rig.fill(2)
    rig.fake.add("D0002", {"gone": 1})
    (rig.folder / "files").mkdir()
    (rig.folder / "files/x.gct").write_text("#1.2\n1\t1\nName\tDescription\tS1\nG1\tna\t1.5\n")
    with rig.session(rig.request(change={}, selection=_sheet(rig, "m.jsonl", ASKED))) as session:
        session.freeze()
        run_id = session.run_id
    path = rig.folder / f"open.{kind}"
    with open_ledger(rig.ledger_url) as ledger, path.open("wb") as stream:
        assert write_rows(report_rows(ledger, run_id), kind, stream) == 3
    rows = {row.dataset_id: row.row for row in read_manifest(path)}
    for asked in ASKED:
        found = rows[DatasetId(str(asked["dataset_id"]))]
        wanted = {name: value for name, value in asked.items() if name != "dataset_id"}
        if "data" in wanted:
            wanted["data"] = str(rig.folder / "files/x.gct")
        assert {name: found[name] for name in wanted} == wanted
        assert found["outcome"] == "selected"
    summary = rig.run(rig.request(change={}, selection=Selection(manifest_uri=str(path))))
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    made = rig.fake.metadata(rig.fake.dataset(DatasetId("D0000")))
    assert (made["n"], made["text"]) == (7, "<null>")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_report_names_files(kind: str) -> None:
    rows = [
        ReportRow(dataset_id="D1", file_name=name, outcome=ItemState.FAILED, cells={"tag": None})
        for name in ("a.txt", "b, c.txt")
    ]
    stream = io.BytesIO(_written(kind, rows))
    found = list(manifest_rows(stream, f"report.{kind}", key=BY_FILE))
    assert [(row.dataset_id, row.file_name) for row in found] == [
        ("D1", "a.txt"),
        ("D1", "b, c.txt"),
    ]
    assert all(row.row["tag"] is None for row in found)


def test_what_did_not_end_well_is_planned_again(rig: Rig) -> None:
    run_id = _half_failed(rig)
    for number in (2, 3):
        mended = DatasetChange(metadata={"n": "0"})
        stamp = WriteStamp(run_id=RunId("somebody else's"))
        rig.fake.update(DatasetId(f"D{number:04}"), mended, stamp)
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.reopen(run_id) == 2
        ledger.set_state(run_id, RunState.SELECTED)
    summary = rig.take_up(run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 4}
    assert summary.state is RunState.FINISHED
