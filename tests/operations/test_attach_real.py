"""Files attached and removed on a real server and object store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from polly_core.server.rehearsal import Faults
from tests.operations.shelf import Shelf, shelf
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas

APPLIED, UNCHANGED, INVALID = ItemState.APPLIED, ItemState.UNCHANGED, ItemState.INVALID
REPLACE: JsonObject = {"existing": "replace", "save_bytes": True}
HEADER = "dataset_id,file,file_name,tag,link"


@pytest.fixture
def here(atlas: RunningAtlas, tmp_path: Path) -> Iterator[Shelf]:
    with shelf(atlas, tmp_path) as found:
        yield found


@pytest.fixture
def there(rehearsed: RehearsedAtlas, tmp_path: Path) -> Iterator[Shelf]:
    """On a server whose switches can be turned."""
    with shelf(rehearsed, tmp_path, read_timeout=1.0) as found:
        yield found


def _attach_and_look(found: Shelf) -> None:
    """Uploads by parts, a reference, a replacement; then the same again."""
    for name in ("A", "B"):
        found.add(name)
    held = found.put("B", b"held", file_name="held.txt")
    old = found.attach("B", "b.txt", b"old", tag="kept", linked=True)
    big = found.file("big.csv", os.urandom(17 * 1024 * 1024))
    found.file("b.txt", b"new")
    found.file("spaces and #.txt", b"odd name")
    lines = (
        HEADER,
        "A,big.csv,,raw,true",
        f"A,{held},,,",
        "B,b.txt,,,",
        "B,spaces and #.txt,,<null>,false",
    )
    request = found.request(OperationName.ATTACH, REPLACE, found.manifest(*lines))
    summary = found.run(request)
    assert summary.counts.by_state == {APPLIED: 4}
    assert summary.counts.verified == 4
    attached = found.files("A")
    assert found.content(attached["big.csv"].file_location) == big.read_bytes()
    assert attached["big.csv"].derived_from == found.record("A").data_location
    assert attached["held.txt"].file_location == held
    others = found.files("B")
    assert (others["b.txt"].tag, others["b.txt"].derived_from) == ("kept", old.derived_from)
    assert found.content(others["b.txt"].file_location) == b"new"
    assert found.content(others["spaces and #.txt"].file_location) == b"odd name"
    row = found.rows(request)["B", "b.txt"]
    assert row.planned is not None
    assert row.planned.files_before[0].file_location == old.file_location
    assert Path(row.done[0].location or "").read_bytes() == b"old"
    again = found.request(OperationName.ATTACH, REPLACE, found.manifest(*lines))
    assert found.run(again).counts.by_state == {UNCHANGED: 4}


def test_attached_and_again_nothing_is_written(here: Shelf) -> None:
    _attach_and_look(here)


def test_attached_on_a_service_like_the_hosted_one(there: Shelf, rehearsed: RehearsedAtlas) -> None:
    with rehearsed.told(HOSTED):
        _attach_and_look(there)


def test_an_object_of_another_atlas_is_uploaded_or_refused_never_referred_to(
    here: Shelf, atlas: RunningAtlas, tmp_path: Path
) -> None:
    """The operator's own credentials do not lead there."""
    here.add("A")
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    with shelf(atlas, other_folder) as other:
        foreign = other.put("X", b"secret", file_name="x.txt")
    selection = here.manifest(HEADER, f"A,{foreign},,,")
    request = here.request(OperationName.ATTACH, {}, selection)
    summary = here.run(request)
    assert summary.counts.of(APPLIED) == 0
    assert here.files("A") == {}


def test_many_files_of_one_dataset_while_answers_are_lost(
    there: Shelf, rehearsed: RehearsedAtlas
) -> None:
    there.add("A")
    names = [f"f{n:02}.txt" for n in range(24)]
    for name in names:
        there.file(name, name.encode())
    lines = ("dataset_id,file", *(f"A,{name}" for name in names))
    attach = there.request(OperationName.ATTACH, {}, there.manifest(*lines), shard_size=10)
    with rehearsed.told(Faults(drop_rate=0.3)):
        assert there.run(attach).counts.by_state == {APPLIED: 24}
    assert sorted(there.files("A")) == names
    lines = ("dataset_id,file_name", *(f"A,{name}" for name in names))
    detach = there.request(OperationName.DETACH, {}, there.manifest(*lines), shard_size=10)
    with rehearsed.told(Faults(drop_rate=0.3)):
        assert there.run(detach).counts.by_state == {APPLIED: 24}
    assert there.files("A") == {}
    assert len(there.reader.versions(DatasetId("A"))) == 1


def test_detached_files_are_kept_and_absent_ones_named(here: Shelf) -> None:
    here.add("A")
    before = here.attach("A", "a.txt", b"bytes", tag="t", linked=True)
    selection = here.manifest("dataset_id,file_name", "A,a.txt", "A,b.txt")
    request = here.request(OperationName.DETACH, {"save_bytes": True}, selection)
    summary = here.run(request)
    assert summary.counts.by_state == {APPLIED: 1, INVALID: 1}
    rows = here.rows(request)
    gone = rows["A", "a.txt"]
    assert gone.planned is not None
    assert gone.planned.files_before[0].file_location == before.file_location
    assert Path(gone.done[0].location or "").read_bytes() == b"bytes"
    assert "'a.txt'" in rows["A", "b.txt"].reasons[0]
