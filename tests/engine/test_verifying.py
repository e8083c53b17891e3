"""Checking a run's promises later."""

from polly_core.engine.request import RunRequest
from polly_core.engine.verifying import Verification
from polly_core.errors import StorageUnavailable
from polly_core.models.catalog import DatasetChange, DatasetId, RunId
from tests.engine.rig import Rig


def _verified(rig: Rig, run_id: str) -> Verification:
    with rig.session(RunRequest(run_id=RunId(run_id))) as session:
        return session.verify()


def test_every_promise_is_kept(rig: Rig) -> None:
    rig.fill(30)
    run_id = rig.run(rig.request()).run_id
    found = _verified(rig, run_id)
    assert (found.checked, found.kept, found.findings) == (30, 30, ())
    assert len(rig.fake.writes) == 30


def test_later_edits_and_deletions_break_no_promise(rig: Rig) -> None:
    rig.fill(5)
    run_id = rig.run(rig.request()).run_id
    rig.fake.edit("D0001", DatasetChange(metadata={"later": 1}))
    rig.fake.remove("D0002")
    assert _verified(rig, run_id).kept == 5


def test_a_version_of_someone_else_between_is_found(hosted: Rig) -> None:
    """Nobody looked while it ran: verification was off."""
    hosted.fill(5)
    hosted.fake.edit_before_write("D0003", DatasetChange(metadata={"mine": 1}))
    run_id = hosted.run(hosted.request(verify="off")).run_id
    found = _verified(hosted, run_id)
    assert (found.checked, found.kept) == (5, 4)
    (finding,) = found.findings
    assert finding.dataset_id == "D0003"
    foreign = hosted.fake.versions(DatasetId("D0003"))[1].version_id
    assert foreign in finding.problems[0]


def test_a_dataset_that_cannot_be_read_is_a_finding(rig: Rig) -> None:
    rig.fill(3)
    run_id = rig.run(rig.request()).run_id
    rig.fake.fail_read(StorageUnavailable("away"), "D0001")
    found = _verified(rig, run_id)
    assert (found.checked, found.kept) == (3, 2)
    assert "could not be read" in found.findings[0].problems[0]


def test_only_what_was_written_is_checked(rig: Rig) -> None:
    rig.fill(3)
    rig.fake.edit("D0001", DatasetChange(metadata={"reviewed": True}))
    assert _verified(rig, rig.run(rig.request()).run_id).checked == 2
