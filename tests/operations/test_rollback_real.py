"""Rollback on a real server: one study back as of a time, a run taken back, the dead revived."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetChange, DatasetId, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from polly_core.models.selection import Selection
from polly_core.server.rehearsal import Faults
from tests.operations.shelf import Shelf, shelf
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas

APPLIED, UNCHANGED, SKIPPED = ItemState.APPLIED, ItemState.UNCHANGED, ItemState.SKIPPED
ROLLBACK = OperationName.ROLLBACK
CHANGE: JsonObject = {"steps": [{"set": "stage", "value": "ours"}]}


@pytest.fixture
def here(atlas: RunningAtlas, tmp_path: Path) -> Iterator[Shelf]:
    with shelf(atlas, tmp_path) as found:
        yield found


@pytest.fixture
def there(rehearsed: RehearsedAtlas, tmp_path: Path) -> Iterator[Shelf]:
    """On a server whose switches can be turned."""
    with shelf(rehearsed, tmp_path, read_timeout=1.0) as found:
        yield found


def _stages(found: Shelf, *names: str) -> list[object]:
    return [found.metadata(name)["stage"] for name in names]


def test_one_study_goes_back_as_of_a_time(here: Shelf) -> None:
    for name in ("A", "B", "C"):
        here.add(name, study="S1" if name != "C" else "S2")
    last = here.second("A")
    moment = datetime.fromtimestamp(last.last_modified_at / 1000, UTC).isoformat()
    for name in ("A", "B", "C"):
        here.edit(name, DatasetChange(metadata={"stage": "later"}))
    here.add("D", study="S1")
    request = here.request(ROLLBACK, {"as_of": moment}, Selection(study=StudyId("S1")))
    summary = here.run(request)
    assert summary.counts.by_state == {APPLIED: 2, SKIPPED: 1}
    assert _stages(here, "A", "B", "C", "D") == ["second", "first", "later", "first"]
    again = here.request(ROLLBACK, {"as_of": moment}, Selection(study=StudyId("S1")))
    assert here.run(again).counts.by_state == {UNCHANGED: 2, SKIPPED: 1}


def _before_a_run(found: Shelf) -> None:
    """Updated by us, then deleted or edited by others: all is as before the run."""
    for name in ("A", "B", "C"):
        found.add(name, study="S1")
    update = found.request(OperationName.UPDATE, CHANGE)
    assert found.run(update).counts.by_state == {APPLIED: 3}
    found.delete("A")
    found.edit("B", DatasetChange(metadata={"stage": "theirs"}, study_id=StudyId("S9")))
    request = found.request(ROLLBACK, {"before_run": update.run_id})
    summary = found.run(request)
    assert summary.counts.by_state == {APPLIED: 3}
    assert summary.counts.verified == 3
    assert _stages(found, "A", "B", "C") == ["first"] * 3
    assert [found.record(name).study_id for name in ("A", "B", "C")] == ["S1"] * 3
    lengths = [len(found.reader.versions(DatasetId(name), include_deleted=True)) for name in "ABC"]
    assert lengths == [3, 4, 3]
    assert found.run(request).counts == summary.counts


def test_everything_a_run_wrote_is_as_before_it(here: Shelf) -> None:
    _before_a_run(here)


def test_the_same_on_a_service_like_the_hosted_one(there: Shelf, rehearsed: RehearsedAtlas) -> None:
    with rehearsed.told(HOSTED):
        _before_a_run(there)


def test_answers_are_lost_and_each_goes_back_once(there: Shelf, rehearsed: RehearsedAtlas) -> None:
    names = [f"D{n}" for n in range(8)]
    for name in names:
        there.add(name)
        there.second(name)
    for name in names[:3]:
        there.delete(name)
    request = there.request(ROLLBACK, {"back": 1}, Selection(ids=tuple(names)))
    with rehearsed.told(Faults(drop_rate=0.4)):
        assert there.run(request).counts.by_state == {APPLIED: 8}
    assert _stages(there, *names) == ["second"] * 3 + ["first"] * 5
    counts = [len(there.reader.versions(DatasetId(n), include_deleted=True)) for n in names]
    assert counts == [3] * 8


def test_data_goes_back_and_takes_linked_files_along(here: Shelf) -> None:
    first = here.add("A")
    here.edit("A", DatasetChange(data_s3_uri=here.put("A", b"data 2"), data_format="gct"))
    linked = here.attach("A", "linked.txt", b"linked", tag="qc", linked=True)
    here.attach("A", "free.txt", b"free")
    request = here.request(ROLLBACK, {"back": 1, "save_bytes": True}, barrier=True)
    assert here.run(request).counts.by_state == {APPLIED: 1}
    assert here.record("A").data_location == first.data_location
    assert list(here.files("A")) == ["free.txt"]
    row = here.rows(request)["A", ""]
    assert row.planned is not None
    [kept] = row.planned.files_before
    assert (kept.file_location, kept.tag, kept.linked) == (linked.file_location, "qc", True)
    assert Path(row.done[0].location or "").read_bytes() == b"linked"
