"""The flows of rollback, delete, attach, detach, study and ingest, once each, one after the other.

They take one atlas through its days: files come and go, datasets move, are deleted and come back.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.catalogue import bulk_of
from flows.running import run_here
from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId, RunId, StudyId
from polly_core.models.run import ItemState, OperationName, RunSummary
from tests.flows.conftest import Bench, human
from tests.support.standing import connected

pytestmark = pytest.mark.timeout(240)
APPLIED, UNCHANGED = ItemState.APPLIED, ItemState.UNCHANGED
A, B = "d0000", "d0001"


def _run(bench: Bench, operation: OperationName, **fields: object) -> RunSummary:
    bulk = bulk_of(operation)
    return run_here(bulk.flow, bulk.parameters({"atlas_id": bench.atlas_id, **fields}))


def _file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_days_of_an_atlas(bench: Bench) -> None:
    bench.fill(human(3))
    client = connected(bench.atlas, bench.atlas_id)
    reader = client.reader
    try:
        _file(bench.home, "a.csv", "1,2\n")
        files = _file(bench.home, "files.csv", f"dataset_id,file,tag\n{A},a.csv,raw\n{B},a.csv,\n")
        attached = _run(bench, OperationName.ATTACH, manifest_uri=files)
        assert attached.counts.by_state == {APPLIED: 2}
        names = _file(bench.home, "names.csv", f"dataset_id,file_name\n{B},a.csv\n{B},b.csv\n")
        detached = _run(bench, OperationName.DETACH, manifest_uri=names, absent="skip")
        assert detached.counts.by_state == {APPLIED: 1, ItemState.SKIPPED: 1}
        assert [file.tag for file in reader.files(DatasetId(A))] == ["raw"]
        assert reader.files(DatasetId(B)) == []

        moved = _run(bench, OperationName.STUDY, study_id="S1", selection={"ids": [A, B]})
        assert moved.counts.by_state == {APPLIED: 2}
        assert reader.study(StudyId("S1")) == [A, B]

        asked = _run(bench, OperationName.INGEST, col_metadata="no", run={"priority": "high"})
        assert asked.counts.by_state == {APPLIED: 3}
        recorded = reader.ingestions(RunId(asked.run_id), DatasetId(A))
        assert [one.params for one in recorded] == [
            {"ingestion_run_id": asked.run_id, "col_metadata": False, "priority": "high"}
        ]

        updated = bench.update()
        deleted = _run(bench, OperationName.DELETE, save_bytes=True, selection={"study": "S1"})
        assert deleted.counts.by_state == {APPLIED: 2}
        assert [one.dataset_id for one in reader.datasets()] == ["d0002"]
        assert (bench.home / "saved" / deleted.run_id / A / "a.csv").read_text() == "1,2\n"

        back = _run(bench, OperationName.ROLLBACK, before_run=updated.run_id)
        assert back.counts.by_state == {APPLIED: 3}
        assert reader.study(StudyId("S1")) == [A, B]
        assert reader.metadata(reader.dataset(DatasetId(A))) == {"species": "human", "number": 0}
    finally:
        client.close()


def test_what_the_core_refuses_comes_out_in_its_words(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="exclude each other"):
        _run(bench, OperationName.ROLLBACK, back=1, as_of="2026-01-01T00:00:00Z")
    with pytest.raises(InvalidInput, match="named and left at once"):
        _run(bench, OperationName.STUDY, study_id="S1", leave=True)


@pytest.mark.parametrize(
    ("operation", "fields", "told"),
    [
        (OperationName.ROLLBACK, {}, "before_run"),
        (OperationName.ATTACH, {}, "manifest_uri"),
        (OperationName.INGEST, {"col_metadata": "maybe"}, "col_metadata"),
        (OperationName.DELETE, {"everything": True}, "everything"),
    ],
)
def test_a_form_that_cannot_be_meant_is_refused(
    operation: OperationName, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        bulk_of(operation).parameters({"atlas_id": "9", **fields})
