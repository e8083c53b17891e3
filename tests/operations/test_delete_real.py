"""Deletions, moves and ingestions on a real server, and on one like the hosted service."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetId, RunId, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from polly_core.models.selection import Selection
from polly_core.server.rehearsal import Faults
from tests.operations.shelf import Shelf, shelf
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas

APPLIED, UNCHANGED = ItemState.APPLIED, ItemState.UNCHANGED
SAVING: JsonObject = {"save_bytes": True}


@pytest.fixture
def here(atlas: RunningAtlas, tmp_path: Path) -> Iterator[Shelf]:
    with shelf(atlas, tmp_path) as found:
        yield found


@pytest.fixture
def there(rehearsed: RehearsedAtlas, tmp_path: Path) -> Iterator[Shelf]:
    """On a server whose switches can be turned."""
    with shelf(rehearsed, tmp_path, read_timeout=1.0) as found:
        yield found


def _stock(found: Shelf) -> None:
    for name in ("A", "B", "C"):
        found.add(name, study="S1")
    found.attach("A", "a.txt", b"of a", tag="t")
    found.attach("A", "big.csv", b"1,2\n" * 3_000_000, linked=True)


def _delete_and_look(found: Shelf) -> None:
    found.delete("C")
    selection = Selection(ids=("A", "B", "C"))
    request = found.request(OperationName.DELETE, SAVING, selection)
    summary = found.run(request)
    assert summary.counts.by_state == {APPLIED: 2, UNCHANGED: 1}
    assert summary.counts.verified == 2
    for name in ("A", "B"):
        with pytest.raises(NotFound):
            found.record(name)
    saved = {Path(one.location or ""): one.sha256 for one in found.rows(request)["A", ""].done}
    assert sorted(path.name for path in saved) == ["a.txt", "big.csv"]
    for path, digest in saved.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    again = found.run(found.request(OperationName.DELETE, SAVING, selection))
    assert again.counts.by_state == {UNCHANGED: 3}


def test_deleted_with_its_files_saved(here: Shelf) -> None:
    _stock(here)
    _delete_and_look(here)


def test_deleted_on_a_service_like_the_hosted_one(there: Shelf, rehearsed: RehearsedAtlas) -> None:
    with rehearsed.told(HOSTED):
        _stock(there)
        _delete_and_look(there)


def test_answers_to_deletions_are_lost(there: Shelf, rehearsed: RehearsedAtlas) -> None:
    _stock(there)
    with rehearsed.told(Faults(drop_rate=0.5)):
        request = there.request(OperationName.DELETE, {})
        assert there.run(request).counts.by_state == {APPLIED: 3}
    assert not any(row.inferred for row in there.rows(request).values())


def test_moved_into_a_study_and_out(here: Shelf) -> None:
    _stock(here)
    into = here.run(here.request(OperationName.STUDY, {"study_id": "S2"}))
    assert into.counts.by_state == {APPLIED: 3}
    assert here.reader.study(StudyId("S2")) == ["A", "B", "C"]
    selection = here.manifest("dataset_id,study_id", "A,<null>", "B,S2", "C,S3")
    by_row = here.run(here.request(OperationName.STUDY, {}, selection))
    assert by_row.counts.by_state == {APPLIED: 2, UNCHANGED: 1}
    assert [here.record(name).study_id for name in ("A", "B", "C")] == [None, "S2", "S3"]
    assert all(len(here.reader.versions(DatasetId(name))) == 1 for name in ("A", "B", "C"))


def test_each_ingestion_is_asked_for_once_whatever_answers_are_lost(
    there: Shelf, rehearsed: RehearsedAtlas
) -> None:
    for number in range(12):
        there.add(f"D{number:02}")
    lines = [f"D{n:02},{('high', 'low', '')[n % 3]}" for n in range(12)]
    selection = there.manifest("dataset_id,priority", *lines)
    change: JsonObject = {"flags": {"row_metadata": True}}
    request = there.request(OperationName.INGEST, change, selection, priority="medium")
    with rehearsed.told(Faults(drop_rate=0.3)):
        assert there.run(request).counts.by_state == {APPLIED: 12}
    recorded = there.reader.ingestions(RunId(request.run_id))
    asked = {one.dataset_id: one.params for one in recorded}
    assert len(recorded) == len(asked) == 12
    for number in range(12):
        assert asked[DatasetId(f"D{number:02}")] == {
            "ingestion_run_id": request.run_id,
            "row_metadata": True,
            "priority": ("high", "low", "medium")[number % 3],
        }
