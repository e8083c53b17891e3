"""The user's own assertions: at the end of a run, after each wave, and at any time later."""

import pytest

from polly_core.engine.request import RunRequest
from polly_core.engine.session import Session
from polly_core.engine.verifying import Verification
from polly_core.errors import InvalidInput, StorageUnavailable
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import (
    ItemState,
    OperationName,
    RunOptions,
    RunState,
    RunSummary,
    StopReason,
    Verify,
    Wave,
)
from tests.engine.rig import Rig

SMALL = "metadata.n < `3`"
REVIEWED = "metadata.reviewed"


def _verified(rig: Rig, run_id: str, *assertions: str) -> Verification:
    with rig.session(RunRequest(run_id=RunId(run_id))) as session:
        return session.verify(assertions=assertions)


def _in_waves(rig: Rig, request: RunRequest) -> RunSummary:
    """As the flow does it."""
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        for wave in session.waves():
            for shard in session.open_shards(wave):
                session.run_shard(shard)
            if not session.conclude(wave):
                break
        return session.finish()


def test_what_holds_changes_nothing(rig: Rig) -> None:
    rig.fill(6)
    summary = rig.run(rig.request(assertions=[REVIEWED, "data_type == 'Bulk RNAseq'"]))
    assert (summary.exit_code, summary.broken, summary.message) == (0, 0, "")
    assert summary.state is RunState.FINISHED


def test_a_run_that_breaks_one_ends_with_1_and_says_so(rig: Rig) -> None:
    rig.fill(5)
    summary = rig.run(rig.request(assertions=[REVIEWED, SMALL]))
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == {ItemState.APPLIED: 5}
    assert (summary.exit_code, summary.broken) == (1, 2)
    assert summary.message == (f"2 written datasets break an assertion, for example D0003: {SMALL}")
    with open_ledger(rig.ledger_url) as ledger:
        row = ledger.run(summary.run_id)
        assert (row.broken, row.message) == (2, summary.message)
    # Nothing is left to be done; a resume says the same.
    again = rig.take_up(summary.run_id)
    assert (again.exit_code, again.message) == (1, summary.message)
    assert len(rig.fake.writes) == 5


def test_no_tolerance_covers_it_and_no_value_is_told(rig: Rig) -> None:
    """The message goes to Prefect and into logs."""
    rig.fake.add("D0000", {"n": 1, "patient": "Ada Lovelace"})
    broken = "metadata.patient == 'X'"
    summary = rig.run(rig.request(assertions=[broken], tolerate={"value": 100, "percent": True}))
    assert summary.exit_code == 1
    assert "Lovelace" not in summary.model_dump_json()
    assert "Lovelace" in _verified(rig, summary.run_id).model_dump_json()


def test_only_what_was_written_is_asked(rig: Rig) -> None:
    rig.fill(5)
    rig.fake.edit("D0004", DatasetChange(metadata={"reviewed": True, "n": 4}))
    summary = rig.run(rig.request(assertions=["metadata.n < `4`"]))
    assert summary.counts.by_state == {ItemState.APPLIED: 4, ItemState.UNCHANGED: 1}
    assert summary.exit_code == 0


def test_a_wave_that_breaks_one_is_the_last(rig: Rig) -> None:
    rig.fill(8)
    waves = (Wave.parse("2"), Wave.parse("3"))
    summary = _in_waves(
        rig, rig.request(barrier=True, waves=waves, assertions=[SMALL], verify=Verify.OFF)
    )
    assert (summary.state, summary.stop) == (RunState.STOPPED, StopReason.VERIFICATION)
    assert summary.exit_code == 1
    assert summary.counts.by_state == {ItemState.APPLIED: 5, ItemState.PLANNED: 3}
    assert summary.message.startswith("wave 2 of 3: 2 written datasets break an assertion")
    # What a resume does not name, the assertion, stands.
    kept = RunRequest(run_id=summary.run_id, options=rig.request(waves=waves).options)
    again = _in_waves(rig, kept)
    assert (again.exit_code, again.stop) == (1, StopReason.VERIFICATION)
    assert len(rig.fake.writes) == 5
    # Somebody decides that it may be so.
    without = RunRequest(run_id=summary.run_id, options=RunOptions(assertions=()))
    assert _in_waves(rig, without).exit_code == 0
    assert len(rig.fake.writes) == 8


def test_a_break_in_the_last_wave_is_told_at_the_end(rig: Rig) -> None:
    rig.fill(4)
    waves = (Wave.parse("3"),)
    summary = _in_waves(rig, rig.request(barrier=True, waves=waves, assertions=[SMALL]))
    assert (summary.state, summary.stop, summary.exit_code) == (RunState.FINISHED, None, 1)
    assert (summary.broken, summary.message) == (
        1,
        f"1 written datasets break an assertion, for example D0003: {SMALL}",
    )


def test_each_dataset_is_asked_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.fill(9)
    asked: list[str] = []
    look = rig.fake.metadata

    def counted(record: object) -> JsonObject:
        asked.append(str(getattr(record, "dataset_id", "")))
        return look(record)  # type: ignore[arg-type]

    request = rig.request(
        barrier=True, waves=(Wave.parse("2"),), assertions=[REVIEWED], verify=Verify.OFF
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        for wave in session.waves():
            for shard in session.open_shards(wave):
                session.run_shard(shard)
            monkeypatch.setattr(rig.fake, "metadata", counted)
            assert session.conclude(wave)
            monkeypatch.undo()
        monkeypatch.setattr(rig.fake, "metadata", counted)
        assert session.finish().exit_code == 0
    # Once for the digest of what was promised, once for the assertion.
    assert sorted(asked) == sorted([f"D{n:04}" for n in range(9)] * 2)


def _written_not_concluded(rig: Rig, request: RunRequest) -> None:
    """A process that is gone between its last write and the end."""
    with rig.session(request) as session:
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)


def test_a_run_that_was_interrupted_before_the_end_is_asked_by_the_resume(rig: Rig) -> None:
    rig.fill(4)
    request = rig.request(assertions=[SMALL])
    _written_not_concluded(rig, request)
    summary = rig.take_up(request.run_id)
    assert (summary.state, summary.exit_code, summary.broken) == (RunState.FINISHED, 1, 1)


def test_a_run_that_is_stopped_while_it_is_asked_stays_resumable(rig: Rig) -> None:
    rig.fill(4)
    request = rig.request(assertions=[SMALL])

    def interrupted(session: Session) -> RunSummary:
        session.stop(StopReason.CANCELLED, "cancelled")
        (wave,) = session.waves()
        assert not session.conclude(wave)
        return session.finish()

    with rig.session(request) as session:
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = interrupted(session)
    assert (summary.state, summary.stop) == (RunState.STOPPED, StopReason.CANCELLED)
    assert summary.exit_code == 130
    assert rig.take_up(request.run_id).exit_code == 1


def test_what_cannot_be_read_does_not_count_as_held(rig: Rig) -> None:
    rig.fill(3)
    request = rig.request(assertions=["study_id || `true`"], verify=Verify.OFF)
    _written_not_concluded(rig, request)
    rig.fake.fail_read(StorageUnavailable("away"), "D0001")
    summary = rig.take_up(request.run_id)
    assert (summary.exit_code, summary.broken) == (1, 1)


def test_later_any_assertion_can_be_asked_beside_the_run_s_own(rig: Rig) -> None:
    rig.fill(4)
    run_id = rig.run(rig.request(assertions=[REVIEWED])).run_id
    found = _verified(rig, run_id, SMALL)
    assert found.assertions == (REVIEWED, SMALL)
    assert (found.checked, found.kept, found.broken, found.good) == (4, 4, 1, False)
    (finding,) = found.findings
    assert finding.dataset_id == "D0003"
    version = rig.items(run_id)[3].version_after
    assert finding.texts() == (
        f"assertion {SMALL} does not hold at version {version}: metadata.n is 3",
    )
    assert rig.take_up(run_id).exit_code == 0, "verify writes nothing"


def test_it_is_about_the_dataset_as_it_stands_now(rig: Rig) -> None:
    rig.fill(3)
    run_id = rig.run(rig.request(assertions=[REVIEWED])).run_id
    later = rig.fake.edit("D0000", DatasetChange(metadata={"reviewed": False}))
    rig.fake.remove("D0001")
    found = _verified(rig, run_id)
    assert (found.kept, found.broken) == (3, 2)
    told = {one.dataset_id: one.texts()[0] for one in found.findings}
    assert f"at version {later.version_id}: metadata.reviewed is false" in told["D0000"]
    assert "that version is later than the run's" in told["D0000"]
    assert told["D0001"].endswith("does not hold: the dataset is gone")


@pytest.mark.parametrize("text", ["metadata.n <", "n < `3`"])
def test_a_bad_expression_is_refused_before_anything_is_done(rig: Rig, text: str) -> None:
    rig.fill(2)
    request = rig.request(assertions=[text])
    with pytest.raises(InvalidInput, match="--assert"):
        rig.run(request)
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.runs() == []
    run_id = rig.run(rig.request()).run_id
    with pytest.raises(InvalidInput, match="--assert"):
        _verified(rig, run_id, text)


def test_a_deletion_leaves_nothing_that_could_hold(rig: Rig) -> None:
    rig.fill(2)
    request = rig.request(operation=OperationName.DELETE, change={}, assertions=["data_type"])
    with pytest.raises(InvalidInput, match="a deletion leaves no dataset"):
        rig.run(request)
    assert rig.fake.writes == []
