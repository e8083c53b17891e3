"""What the fake catalog can be told to do wrong; its rules are shown by the contract."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from polly_core.catalog.ports import ObjectKey
from polly_core.errors import (
    AccessDenied,
    CatalogError,
    Conflict,
    NoConnection,
    NotFound,
    ObjectMissing,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
    StorageUnavailable,
    Throttled,
    Unavailable,
)
from polly_core.models.catalog import (
    DatasetChange,
    DatasetId,
    NewDataset,
    NewFile,
    RunId,
    WriteStamp,
)
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault, WriteKind

ONE = DatasetId("A")
STAMP = WriteStamp(run_id=RunId("r"))


def change(number: int) -> DatasetChange:
    return DatasetChange(metadata={"n": number})


def state(fake: FakeCatalog) -> object:
    return fake.metadata(fake.dataset(ONE))["n"]


@pytest.fixture
def fake() -> FakeCatalog:
    made = FakeCatalog()
    made.add("A", {"n": 0})
    made.add("B", {"n": 0})
    return made


FAULTS = pytest.mark.parametrize(
    ("fault", "error", "happens"),
    [
        (Fault.LOST_ANSWER, OutcomeUnknown, True),
        (Fault.LOST_REQUEST, OutcomeUnknown, False),
        (Fault.LATE, OutcomeUnknown, False),
        (Fault.NO_CONNECTION, NoConnection, False),
        (Fault.THROTTLED, Throttled, False),
        (Fault.LOCKED, RepositoryLocked, False),
        (Fault.UNAVAILABLE, Unavailable, False),
    ],
)


@FAULTS
def test_each_fault(
    fake: FakeCatalog, fault: Fault, error: type[CatalogError], happens: bool
) -> None:
    fake.fail_write(fault, "A", retry_after=2.0)
    fake.update(DatasetId("B"), change(1), STAMP)
    with pytest.raises(error):
        fake.update(ONE, change(1), STAMP)
    assert state(fake) == (1 if happens else 0)
    fake.update(ONE, change(2), STAMP)
    assert state(fake) == 2
    assert [call.fault for call in fake.writes] == [None, fault, None]


NEW = DatasetId("new")
KEY = ObjectKey(ONE, file_name="new.csv")


def create(fake: FakeCatalog) -> None:
    location = fake.dataset(ONE).data_location
    new = NewDataset(data_type="T", metadata={}, data_s3_uri=location, data_format="gct")
    fake.create(NEW, new, STAMP)


def attach(fake: FakeCatalog) -> None:
    location = fake.put_object(KEY, b"x")
    fake.attach(ONE, NewFile(file_name="new.csv", file_s3_uri=location, file_format="csv"))


def is_alive(fake: FakeCatalog, dataset_id: DatasetId) -> bool:
    return dataset_id in {record.dataset_id for record in fake.datasets()}


def has_file(fake: FakeCatalog, name: str) -> bool:
    return name in {file.file_name for file in fake.files(ONE)}


def ingested(fake: FakeCatalog) -> bool:
    return bool(fake.ingestions(STAMP.run_id, ONE))


Act: TypeAlias = Callable[[FakeCatalog], object]
Look: TypeAlias = Callable[[FakeCatalog], bool]


@pytest.mark.parametrize(
    ("kind", "act", "happened"),
    [
        (WriteKind.CREATE, create, lambda fake: is_alive(fake, NEW)),
        (WriteKind.TRIGGER, lambda fake: fake.trigger(ONE, STAMP), ingested),
        (WriteKind.DELETE, lambda fake: fake.delete(ONE, STAMP), lambda f: not is_alive(f, ONE)),
        (WriteKind.ATTACH, attach, lambda fake: has_file(fake, "new.csv")),
        (
            WriteKind.DETACH,
            lambda fake: fake.detach(ONE, "old.csv"),
            lambda fake: not has_file(fake, "old.csv"),
        ),
    ],
)
@FAULTS
def test_each_fault_of_each_write(
    fake: FakeCatalog,
    kind: WriteKind,
    act: Act,
    happened: Look,
    fault: Fault,
    error: type[CatalogError],
    happens: bool,
) -> None:
    fake.add_file("A", "old.csv")
    fake.fail_write(fault, kind=kind)
    fake.update(DatasetId("B"), change(1), STAMP)
    with pytest.raises(error):
        act(fake)
    assert happened(fake) is happens
    assert fake.deliver_late() == (1 if fault is Fault.LATE else 0)
    assert happened(fake) is (happens or fault is Fault.LATE)
    assert [(call.kind, call.fault) for call in fake.writes[1:]] == [(kind, fault)]


def test_any_error_can_be_ordered(fake: FakeCatalog) -> None:
    fake.fail_write(AccessDenied("no", status=403), "A")
    with pytest.raises(AccessDenied):
        fake.update(ONE, change(1), STAMP)
    assert state(fake) == 0


def test_other_people_come_before_or_after_any_write(fake: FakeCatalog) -> None:
    fake.before_write("A", lambda: fake.remove("A"), kind=WriteKind.DELETE)
    fake.trigger(ONE, STAMP)
    with pytest.raises(NotFound):
        fake.delete(ONE, STAMP)
    fake.after_write("B", lambda: fake.add_file("B", "theirs.csv"))
    fake.trigger(DatasetId("B"), STAMP)
    assert [file.file_name for file in fake.files(DatasetId("B"))] == ["theirs.csv"]
    fake.remove_file("B", "theirs.csv")
    assert fake.files(DatasetId("B")) == []


@pytest.mark.parametrize("stored", [False, True])
def test_transfers_can_fail_before_or_after_the_object_is_there(
    fake: FakeCatalog, tmp_path: Path, stored: bool
) -> None:
    local = tmp_path / "new.csv"
    local.write_text("x")
    fake.fail_store(StorageUnavailable("down"), "A", stored=stored)
    with pytest.raises(StorageUnavailable):
        fake.upload(local, KEY)
    assert fake.transfers == []
    location = fake.upload(local, KEY)
    fake.copy(location, ObjectKey(DatasetId("B")), atlas_id=fake.catalog.atlas_id)
    assert [(call.key, call.sent) for call in fake.transfers] == [
        (KEY, not stored),
        (ObjectKey(DatasetId("B")), True),
    ]


def test_an_object_can_be_lost(fake: FakeCatalog) -> None:
    location = fake.dataset(ONE).data_location
    fake.objects.lose(location)
    with pytest.raises(ObjectMissing):
        fake.stat(location)


def test_reads_of_the_objects_of_a_dataset_can_fail(fake: FakeCatalog, tmp_path: Path) -> None:
    theirs = fake.dataset(DatasetId("B")).data_location
    fake.fail_read(StorageUnavailable("down"), "B", times=2)
    fake.stat(fake.dataset(ONE).data_location)
    with pytest.raises(StorageUnavailable):
        fake.stat(theirs)
    with pytest.raises(StorageUnavailable):
        fake.download(theirs, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_atlases_of_one_service_share_objects_and_no_versions(fake: FakeCatalog) -> None:
    other = fake.another("17")
    assert fake.another("17") is other
    assert other.objects is fake.objects
    made = other.add("A", {"n": 0})
    assert made.version_id != fake.dataset(ONE).version_id
    assert FakeCatalog("17").objects is not fake.objects


def test_a_late_write_happens_when_it_is_delivered(fake: FakeCatalog) -> None:
    fake.fail_write(Fault.LATE, "A")
    with pytest.raises(OutcomeUnknown):
        fake.update(ONE, change(1), STAMP)
    assert fake.deliver_late() == 1
    assert state(fake) == 1
    assert fake.deliver_late() == 0


def test_a_late_write_with_a_stale_version_does_not_happen(fake: FakeCatalog) -> None:
    fake.fail_write(Fault.LATE, "A")
    stamp = STAMP.model_copy(update={"expected_version_id": fake.dataset(ONE).version_id})
    with pytest.raises(OutcomeUnknown):
        fake.update(ONE, change(1), stamp)
    fake.edit("A", change(9))
    assert fake.deliver_late() == 0
    assert state(fake) == 9


def test_foreign_edits_come_before_or_after(fake: FakeCatalog) -> None:
    fake.edit_before_write("A", change(7))
    fake.edit_after_write("A", change(8))
    made = fake.update(ONE, change(1), STAMP)
    assert fake.metadata(made) == {"n": 1}
    history = [fake.metadata(version)["n"] for version in fake.versions(ONE)]
    assert history == [8, 1, 7, 0]


def test_a_foreign_edit_before_makes_an_expected_version_stale(fake: FakeCatalog) -> None:
    stamp = STAMP.model_copy(update={"expected_version_id": fake.dataset(ONE).version_id})
    fake.edit_before_write("A", change(7))
    with pytest.raises(Conflict):
        fake.update(ONE, change(1), stamp)
    assert state(fake) == 7


def test_reads_can_fail(fake: FakeCatalog) -> None:
    fake.fail_read(ReadFailed("no"), "A", times=2)
    for _ in range(2):
        with pytest.raises(ReadFailed):
            fake.dataset(ONE)
    assert fake.dataset(ONE).dataset_id == "A"
    assert fake.reads == 3


def test_faults_can_be_chosen_for_each_write() -> None:
    fake = FakeCatalog(choose_fault=lambda _, number: Fault.THROTTLED if number % 2 else None)
    fake.add("A", {"n": 0})
    with pytest.raises(Throttled):
        fake.update(ONE, change(1), STAMP)
    fake.update(ONE, change(1), STAMP)


def test_a_dataset_can_be_deleted_between_plan_and_write(fake: FakeCatalog) -> None:
    fake.remove("A")
    with pytest.raises(NotFound):
        fake.update(ONE, change(1), STAMP)


def test_two_programs_see_the_same_ids_and_times() -> None:
    first, second = FakeCatalog(), FakeCatalog()
    assert first.add("A") == second.add("A")
