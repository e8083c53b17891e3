"""Waves: the first few items are written and verified before the next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.engine.session import Session
from polly_core.engine.waves import sizes
from polly_core.errors import BadRequest
from polly_core.models.catalog import DatasetChange, DatasetId, DatasetRecord, WriteStamp
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import Counts, ItemState, RunState, StopReason, Verify, Wave
from tests.engine.rig import Rig

WAVES = ("2", "3", "50%")


def _wave(session: Session, number: int) -> Counts:
    wave = session.waves()[number - 1]
    for shard in session.open_shards(wave):
        session.run_shard(shard)
    return session.progress().counts


@given(
    st.lists(
        st.one_of(
            st.integers(1, 60).map(str), st.integers(1, 100).map(lambda percent: f"{percent}%")
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 300),
)
def test_every_item_is_in_exactly_one_wave(texts: list[str], total: int) -> None:
    waves = tuple(map(Wave.parse, texts))
    found = list(sizes(waves, total))
    assert sum(found) == total
    assert all(size > 0 for size in found)
    for size, wave in zip(found[:-1], waves, strict=False):
        assert size == wave.size(total)


def test_what_a_wave_may_be() -> None:
    assert list(sizes(tuple(map(Wave.parse, WAVES)), 20)) == [2, 3, 10, 5]
    for text in ("0", "0%", "-1", "many"):
        with pytest.raises(ValueError, match="found"):
            Wave.parse(text)


def test_one_after_the_other(rig: Rig) -> None:
    rig.fill(20)
    # It has nothing to be written, and belongs to no wave's size.
    rig.fake.edit("D0001", DatasetChange(metadata={"reviewed": True}))
    request = rig.request(
        barrier=True, shard_size=4, waves=tuple(map(Wave.parse, WAVES)), verify=Verify.OFF
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        assert [wave.size for wave in session.waves()] == [2, 3, 10, 4]
        for number, applied in enumerate((2, 5, 15, 19), 1):
            counts = _wave(session, number)
            assert counts.of(ItemState.APPLIED) == applied
            assert len(rig.fake.writes) == applied
            assert session.conclude(session.waves()[number - 1])
        summary = session.finish()
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == {ItemState.APPLIED: 19, ItemState.UNCHANGED: 1}


def test_a_wave_that_ends_badly_is_the_last(rig: Rig) -> None:
    """A budget of ten per cent after a hundred items would have let all of them go."""
    rig.fill(20)
    refuse(rig, "D0001")
    request = rig.request(barrier=True, waves=(Wave.parse("2"), Wave.parse("100%")))
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        _wave(session, 1)
        assert not session.conclude(session.waves()[0])
        assert session.stopping is StopReason.BUDGET
        summary = session.finish()
    assert "wave 1 of 2: 1 of 2 items ended badly (D0001)" in summary.message
    assert summary.counts.by_state == {
        ItemState.APPLIED: 1,
        ItemState.FAILED: 1,
        ItemState.PLANNED: 18,
    }
    assert summary.exit_code == 4


def test_a_wave_that_is_not_as_promised_is_the_last(rig: Rig) -> None:
    """Verification reads back, whatever the run's own verification is."""
    rig.fill(6)
    request = rig.request(barrier=True, waves=(Wave.parse("2"),), verify=Verify.OFF)
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        _wave(session, 1)
        spoil(rig, "D0000")
        assert not session.conclude(session.waves()[0])
        summary = session.finish()
    assert "1 of 2 written datasets are not as promised, for example D0000" in summary.message
    assert summary.counts.of(ItemState.PLANNED) == 4


def refuse(rig: Rig, dataset_id: str) -> None:
    """The service takes no write of it."""
    update = rig.fake.update

    def refusing(found: DatasetId, change: DatasetChange, stamp: WriteStamp) -> DatasetRecord:
        if found == dataset_id:
            raise BadRequest("Bad Request", "as scripted", status=400)
        return update(found, change, stamp)

    rig.fake.update = refusing  # type: ignore[method-assign, assignment]


def spoil(rig: Rig, dataset_id: str) -> None:
    """The store loses what was written and gives something else."""
    other: JsonObject = {"organism": "nobody"}
    kept = rig.fake.metadata
    spoiled = rig.fake.dataset(DatasetId(dataset_id)).metadata_location

    def metadata(record: object) -> JsonObject:
        location = getattr(record, "metadata_location", "")
        return other if location == spoiled else kept(record)  # type: ignore[arg-type]

    rig.fake.metadata = metadata  # type: ignore[method-assign]


def test_a_resume_goes_on_with_the_wave_it_was_in(rig: Rig) -> None:
    rig.fill(12)
    request = rig.request(barrier=True, shard_size=5, waves=(Wave.parse("3"),))
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        _wave(session, 1)
    with rig.session(rig.request().model_copy(update=_again(request.run_id))) as session:
        assert session.has_open_items(session.waves()[1])
        assert not session.has_open_items(session.waves()[0])
        assert _wave(session, 2).of(ItemState.APPLIED) == 6


def _again(run_id: str) -> dict[str, object]:
    return {"run_id": run_id, "change": None, "atlas_id": None, "options": None}


def test_a_run_that_waits_for_a_person_says_so_and_promises_no_end(rig: Rig) -> None:
    rig.fill(2)
    request = rig.request()
    with rig.session(request) as session:
        session.freeze()
        for wave, words in ((0, "the plan: polly-bulk approve"), (2, f"{request.run_id} --wave 2")):
            with session.awaiting_approval(wave):
                progress = session.progress()
                assert progress.note.startswith("waiting for approval of ")
                assert words in progress.note
                assert progress.eta_seconds is None
        assert session.progress().note == ""
