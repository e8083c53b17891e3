"""Which items a run is about."""

from pathlib import Path

import pytest

from polly_core.engine.report import summarise
from polly_core.engine.request import RunRequest
from polly_core.errors import InvalidInput, ReadFailed, RunMismatch
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import ShardRow
from polly_core.models.catalog import RunId, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState, RunSummary, StopReason
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig


def _ids(*numbers: int) -> list[str]:
    return [f"D{number:04}" for number in numbers]


def _frozen(rig: Rig, selection: Selection, **options: object) -> list[str]:
    request = rig.request(selection=selection, **options)  # type: ignore[arg-type]
    with rig.session(request) as session:
        total = session.freeze()
    found = [row.dataset_id for row in rig.items(request.run_id)]
    assert len(found) == total
    return list(found)


def _shards(rig: Rig, run_id: str) -> list[ShardRow]:
    with open_ledger(rig.ledger_url) as ledger:
        return ledger.shards(RunId(run_id))


def _file(rig: Rig, name: str, text: str) -> str:
    path = rig.folder / name
    path.write_text(text)
    return str(path)


def test_everything_in_the_order_of_the_listing(rig: Rig) -> None:
    rig.fill(45)
    request = rig.request(shard_size=20)
    with rig.session(request) as session:
        assert session.freeze() == 45
        assert session.freeze() == 45, "again changes nothing"
    items = rig.items(request.run_id)
    assert [row.dataset_id for row in items] == _ids(*range(45))
    assert [row.seq for row in items] == list(range(45))
    assert {row.state for row in items} == {ItemState.SELECTED}
    shards = _shards(rig, request.run_id)
    assert [(s.shard, s.first_seq, s.size) for s in shards] == [(0, 0, 20), (1, 20, 20), (2, 40, 5)]
    assert all(shard.pages for shard in shards), "a page read again saves a call for each item"


def test_an_empty_atlas(rig: Rig) -> None:
    summary = rig.run(rig.request())
    assert summary.state is RunState.FINISHED
    assert summary.counts.total == 0
    assert summary.exit_code == 0


def test_by_a_filter_that_needs_no_metadata(rig: Rig) -> None:
    rig.fill(30)
    before = rig.fake.reads
    found = _frozen(rig, Selection(where="ends_with(dataset_id, '3')"))
    assert found == _ids(3, 13, 23)
    assert rig.fake.reads - before == 1, "one page, no metadata"


def test_by_a_filter_on_metadata(rig: Rig) -> None:
    rig.fill(30)
    assert _frozen(rig, Selection(where="metadata.n >= `27`")) == _ids(27, 28, 29)


def test_a_sparse_selection_keeps_no_pages(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pages for four items: reading the items is cheaper."""
    monkeypatch.setattr("polly_core.engine.freeze.PAGE_SIZE", 10)
    rig.fill(40)
    request = rig.request(selection=Selection(where="ends_with(dataset_id, '3')"))
    with rig.session(request) as session:
        session.freeze()
    assert [shard.pages for shard in _shards(rig, request.run_id)] == [()]


def test_pages_of_other_sizes_than_shards(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polly_core.engine.freeze.PAGE_SIZE", 15)
    monkeypatch.setattr("polly_core.engine.runner.PAGE_SIZE", 15)
    rig.fill(50)
    request = rig.request(shard_size=20)
    assert rig.run(request).counts.by_state == {ItemState.APPLIED: 50}
    shards = _shards(rig, request.run_id)
    assert [len(shard.pages) for shard in shards] == [2, 2, 2]


def test_ids_in_the_order_given(rig: Rig) -> None:
    rig.fill(10)
    assert _frozen(rig, Selection(ids=tuple(_ids(7, 2, 5)))) == _ids(7, 2, 5)


def test_ids_of_a_file(rig: Rig) -> None:
    rig.fill(10)
    uri = _file(rig, "ids.txt", "# mine\nD0004\n\nD0001\n")
    assert _frozen(rig, Selection(ids_uri=uri)) == _ids(4, 1)


def test_ids_narrowed_by_a_filter(rig: Rig) -> None:
    rig.fill(10)
    chosen = Selection(ids=tuple(_ids(9, 1, 8, 2)), where="metadata.n > `5`")
    assert _frozen(rig, chosen) == _ids(9, 8)
    plain = Selection(ids=tuple(_ids(9, 1, 8)), where="dataset_id != 'D0001'")
    assert _frozen(rig, plain) == _ids(9, 8)


def test_an_id_that_a_filter_cannot_look_at_is_named(rig: Rig) -> None:
    rig.fill(2)
    chosen = Selection(ids=("D0000", "D9999"), where="metadata.n == `0`")
    with pytest.raises(InvalidInput, match="D9999"):
        _frozen(rig, chosen)


def test_an_id_that_does_not_exist_is_invalid_and_the_rest_goes_on(rig: Rig) -> None:
    rig.fill(2)
    summary = rig.run(rig.request(selection=Selection(ids=("D0000", "D9999", "D0001"))))
    assert summary.counts.by_state == {ItemState.APPLIED: 2, ItemState.INVALID: 1}
    row = rig.items(summary.run_id)[1]
    assert "D9999" in row.reasons[0]


@pytest.mark.parametrize("kind", ["ids", "ids_uri", "manifest_uri"])
def test_an_id_named_twice_is_refused_and_named(rig: Rig, kind: str) -> None:
    rig.fill(3)
    lines = _ids(1, 2, 1)
    given: dict[str, object] = {"ids": tuple(lines)}
    if kind == "ids_uri":
        given = {kind: _file(rig, "ids.txt", "\n".join(lines))}
    elif kind == "manifest_uri":
        given = {kind: _file(rig, "rows.csv", "dataset_id\n" + "\n".join(lines))}
    request = rig.request(selection=Selection.model_validate(given))
    with pytest.raises(InvalidInput, match="D0001"), rig.session(request) as session:
        session.freeze()
    assert rig.fake.writes == []
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.run(request.run_id).total is None


def test_by_study(rig: Rig) -> None:
    rig.fill(3)
    for name in ("S1", "S0"):
        rig.fake.add(name, {"n": 1}, study_id="liver")
    assert _frozen(rig, Selection.model_validate({"study": "liver"})) == ["S0", "S1"]
    with pytest.raises(InvalidInput, match=r"is not there: .*nowhere"):
        _frozen(rig, Selection.model_validate({"study": "nowhere"}))


def test_a_manifest_selects_and_its_columns_are_the_change(rig: Rig) -> None:
    rig.fill(5)
    text = "dataset_id\tmetadata.organism\nD0003\tmouse\nD0001\trat\n"
    chosen = Selection(manifest_uri=_file(rig, "rows.tsv", text))
    request = rig.request(change={}, selection=chosen)
    with_change = request.model_copy(update={"change": None})
    assert rig.run(with_change).counts.by_state == {ItemState.APPLIED: 2}
    organisms = [rig.fake.metadata(record)["organism"] for record in rig.fake.datasets()]
    assert organisms == ["human", "rat", "human", "mouse", "human"]
    rows = rig.items(request.run_id)
    assert [row.row for row in rows] == [{"metadata.organism": o} for o in ("mouse", "rat")]


def test_failures_of_an_earlier_run(rig: Rig) -> None:
    rig.fill(10)
    change: JsonObject = {
        "steps": [{"map": "n", "vocabulary": {"x": 1}, "unmatched": "fail"}],
    }
    wrong = rig.request(change=change, budget={"value": 100})
    assert rig.run(wrong).counts.by_state == {ItemState.INVALID: 10}
    again = Selection.model_validate({"failures_of": wrong.run_id})
    assert _frozen(rig, again) == _ids(*range(10))
    narrowed = again.model_copy(update={"where": "metadata.n < `2`"})
    assert _frozen(rig, narrowed) == _ids(0, 1)


def test_failures_of_a_run_on_another_catalog_are_refused(rig: Rig, tmp_path: Path) -> None:
    other = Rig(tmp_path, FakeCatalog("10"))
    other.fill(1)
    request = other.request().model_copy(update={"atlas_id": "10"})
    other.run(request)
    with pytest.raises(RunMismatch, match="atlas 10"):
        _frozen(rig, Selection.model_validate({"failures_of": request.run_id}))


def test_what_appears_later_does_not_belong_to_the_run(rig: Rig) -> None:
    rig.fill(5)
    request = rig.request()
    with rig.session(request) as session:
        session.freeze()
    rig.fake.add("A0000", {})
    rig.fake.remove("D0002")
    summary = rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 4, ItemState.INVALID: 1}
    assert "A0000" not in {call.dataset_id for call in rig.fake.writes}


def test_an_interrupted_selection_is_begun_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polly_core.engine.freeze.PAGE_SIZE", 10)
    rig.fill(30)
    request = rig.request(shard_size=10)
    page, pages = rig.fake.page, 0

    def break_off(link: str | None = None, *, size: int | None = None) -> object:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise ReadFailed("gone", status=500)
        return page(link, size=size)

    with monkeypatch.context() as patched:
        patched.setattr(rig.fake, "page", break_off)
        with pytest.raises(ReadFailed), rig.session(request) as session:
            session.freeze()
    rig.fake.add("A0000", {})
    summary = rig.run(RunRequest(run_id=request.run_id))
    assert summary.counts.by_state == {ItemState.APPLIED: 31}


@pytest.mark.parametrize(
    ("selection", "text", "told"),
    [
        (Selection(manifest_uri="m.csv"), "dataset_id\nD0000\nD0000\n", "D0000"),
        (Selection(study=StudyId("nowhere")), "", "nowhere"),
        (Selection(ids=("gone",), where="`true`"), "", "gone"),
    ],
)
def test_a_selection_that_is_refused_is_recorded_with_the_reason(
    rig: Rig, selection: Selection, text: str, told: str
) -> None:
    rig.fill(3)
    if selection.manifest_uri:
        path = _file(rig, selection.manifest_uri, text)
        selection = selection.model_copy(update={"manifest_uri": path})
    request = rig.request(selection=selection)
    with pytest.raises(InvalidInput, match=told) as refused:
        rig.run(request)
    summary = _summary(rig, request.run_id)
    assert (summary.state, summary.stop) == (RunState.STOPPED, StopReason.REFUSED)
    assert summary.message.startswith(str(refused.value))
    assert "start a new run" in summary.message
    assert (summary.counts.total, summary.exit_code) == (0, 2)


def test_a_resume_that_finds_what_was_missing_goes_through(rig: Rig) -> None:
    request = rig.request(selection=Selection(ids=("D0000",), where="`true`"))
    with pytest.raises(InvalidInput, match="D0000"):
        rig.run(request)
    rig.fill(1)
    summary = rig.take_up(request.run_id)
    assert (summary.state, summary.stop, summary.message) == (RunState.FINISHED, None, "")
    assert summary.counts.by_state == {ItemState.APPLIED: 1}


def _summary(rig: Rig, run_id: str) -> RunSummary:
    with open_ledger(rig.ledger_url) as ledger:
        return summarise(ledger, ledger.run(RunId(run_id)))
