"""What the fake catalog can be told to do wrong; its rules are shown by the contract."""

import pytest

from polly_core.errors import (
    CatalogError,
    Conflict,
    NoConnection,
    NotFound,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
    Throttled,
    Unavailable,
)
from polly_core.models.catalog import DatasetChange, DatasetId, RunId, WriteStamp
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault

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


@pytest.mark.parametrize(
    ("fault", "kind", "happens"),
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
def test_each_fault(
    fake: FakeCatalog, fault: Fault, kind: type[CatalogError], happens: bool
) -> None:
    fake.fail_write(fault, "A", retry_after=2.0)
    fake.update(DatasetId("B"), change(1), STAMP)
    with pytest.raises(kind):
        fake.update(ONE, change(1), STAMP)
    assert state(fake) == (1 if happens else 0)
    fake.update(ONE, change(2), STAMP)
    assert state(fake) == 2
    assert [call.fault for call in fake.writes] == [None, fault, None]


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
