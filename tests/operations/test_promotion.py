"""Promotion: a three-way comparison since the last copy."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetChange, DatasetId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.operations.copy import (
    CHANGED_HERE,
    CHANGED_THERE,
    CONFLICT,
    CONFLICT_DELETED,
    GONE_HERE,
    GONE_THERE,
    NEW,
    NO_BASE,
    UNDONE,
)
from polly_core.testing.fake import FakeCatalog
from tests.operations.copies import Copies, seen

APPLIED, UNCHANGED, SKIPPED, INVALID = (
    ItemState.APPLIED,
    ItemState.UNCHANGED,
    ItemState.SKIPPED,
    ItemState.INVALID,
)


@pytest.fixture(params=[True, False], ids=["enforced", "hosted"])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    """Three datasets, promoted once."""
    made = Copies.make(tmp_path, enforce_versions=request.param)
    made.fill()
    assert made.run("promote").counts.by_state == {APPLIED: 3}
    return made


def edit(fake: FakeCatalog, dataset_id: str, **change: object) -> None:
    fake.edit(dataset_id, DatasetChange.model_validate(change))


def states(copies: Copies, summary: RunSummary) -> Mapping[str, ItemState]:
    return {row.dataset_id: row.state for row in copies.rig.items(summary.run_id)}


def promoted(copies: Copies, dataset_id: str) -> tuple[ItemState, tuple[str, ...]]:
    """How one dataset ended, and why; the others are as they were."""
    summary = copies.run("promote")
    found = dict(states(copies, summary))
    reasons = copies.reasons(summary)[dataset_id]
    state = found.pop(dataset_id)
    assert set(found.values()) == {UNCHANGED}
    return state, reasons


def test_every_class_at_once_and_how_the_plan_says_it(copies: Copies) -> None:
    for name in "DEFGH":
        copies.source.add(name, {"n": 0})
    assert copies.run("promote").counts.by_state == {APPLIED: 5, UNCHANGED: 3}
    copies.source.add("new", {"n": 1})
    edit(copies.source, "A", metadata={"here": 1})
    edit(copies.target, "B", metadata={"there": 1})
    edit(copies.source, "C", metadata={"x": "here"})
    edit(copies.target, "C", metadata={"x": "there"})
    copies.source.remove("D")
    copies.target.remove("E")
    copies.target.remove("F")
    edit(copies.source, "F", metadata={"here": 1})
    before = seen(copies.target, "C"), seen(copies.target, "B"), seen(copies.target, "D")
    request = copies.request("promote", barrier=True)
    with copies.rig.session(request) as session:
        session.freeze()
        plan = session.plan()
    assert plan is not None
    assert plan.summary.counts == {"invalid": 2, "planned": 2, "skipped": 3, "unchanged": 2}
    effects = {tally.text: tally.count for tally in plan.summary.side_effects}
    assert effects == {NEW: 1, CHANGED_HERE: 1}
    skips = {tally.text: tally.example for tally in plan.summary.skips}
    assert skips == {CHANGED_THERE: "B", GONE_HERE: "D", GONE_THERE: "E"}
    reasons = {tally.text: tally.example for tally in plan.summary.reasons}
    assert (reasons[CONFLICT], reasons[CONFLICT_DELETED]) == ("C", "F")
    copies.rig.take_up(request.run_id)
    assert seen(copies.target, "A") == seen(copies.source, "A")
    assert seen(copies.target, "new") == seen(copies.source, "new")
    assert before == (seen(copies.target, "C"), seen(copies.target, "B"), seen(copies.target, "D"))


def test_again_nothing_is_to_be_done(copies: Copies) -> None:
    edit(copies.source, "A", metadata={"here": 1})
    copies.run("promote")
    writes = len(copies.target.writes)
    assert copies.run("promote").counts.by_state == {UNCHANGED: 3}
    assert len(copies.target.writes) == writes


HERE_OR_THERE = [
    {"metadata": {"organism": "mouse"}},
    {"data_type": "Single cell"},
    {"data_format": "txt"},
    {"study_id": "S9"},
    {"study_id": None},
]


@pytest.mark.parametrize("change", HERE_OR_THERE, ids=lambda change: next(iter(change)))
def test_changed_on_one_side_only(copies: Copies, change: dict[str, object]) -> None:
    edit(copies.target, "A", **change)
    there = seen(copies.target, "A")
    assert promoted(copies, "A") == (SKIPPED, (CHANGED_THERE,))
    assert seen(copies.target, "A") == there
    edit(copies.source, "C", **change)
    summary = copies.run("promote")
    assert states(copies, summary) == {
        "A": SKIPPED,
        "B": UNCHANGED,
        "C": APPLIED,
    }, copies.reasons(summary)
    assert seen(copies.target, "C") == seen(copies.source, "C")


def test_files_that_changed_on_one_side_only(copies: Copies) -> None:
    copies.target.add_file("A", "notes.txt", content=b"theirs")
    assert promoted(copies, "A") == (SKIPPED, (CHANGED_THERE,))
    copies.source.add_file("C", "sdrf.tsv", tag="sdrf", content=b"ours")
    summary = copies.run("promote")
    assert states(copies, summary) == {
        "A": SKIPPED,
        "B": UNCHANGED,
        "C": APPLIED,
    }, copies.reasons(summary)
    assert seen(copies.target, "C") == seen(copies.source, "C")


def test_a_file_removed_there_is_not_put_back(copies: Copies) -> None:
    copies.target.remove_file("A", "notes.txt")
    assert promoted(copies, "A") == (SKIPPED, (CHANGED_THERE,))


def test_foreign_files_there_are_nobodys_change(copies: Copies) -> None:
    copies.target.add_file("A", "theirs.txt")
    edit(copies.source, "A", metadata={"here": 1})
    assert promoted(copies, "A")[0] is APPLIED
    assert set(seen(copies.target, "A").files) == {"qc.html", "notes.txt", "theirs.txt"}
    assert promoted(copies, "A")[0] is UNCHANGED


def test_a_new_file_of_the_same_name_on_both_sides_is_a_conflict(copies: Copies) -> None:
    copies.source.add_file("A", "late.txt", content=b"ours")
    copies.target.add_file("A", "late.txt", content=b"theirs")
    state, reasons = promoted(copies, "A")
    assert (state, reasons[0]) == (INVALID, CONFLICT)
    assert "on both sides: @file late.txt" in reasons[1]


def test_a_conflict_names_both_versions_and_what_differs(copies: Copies) -> None:
    first = copies.source.dataset(DatasetId("A")).version_id
    made = copies.target.dataset(DatasetId("A")).version_id
    edit(copies.source, "A", metadata={"organism": "mouse", "new": 1}, data_type="X")
    edit(copies.target, "A", metadata={"organism": "rat"}, study_id="S9")
    here = copies.source.dataset(DatasetId("A")).version_id
    there = copies.target.dataset(DatasetId("A")).version_id
    state, reasons = promoted(copies, "A")
    assert state is INVALID
    said = (
        f"here version {here} (copied was {first}), there version {there} (the copy was {made}); "
        'changed on both sides: /organism ("mouse" here, "rat" there); '
        "only here: /new, @data_type; only there: @study"
    )
    assert reasons == (CONFLICT, said)


def test_the_same_change_on_both_sides_is_no_conflict(copies: Copies) -> None:
    for fake in (copies.source, copies.target):
        edit(fake, "A", metadata={"organism": "mouse"})
    assert promoted(copies, "A") == (UNCHANGED, ())


def test_a_change_taken_back_is_none(copies: Copies) -> None:
    """A newer version with the content of the last copy is not somebody's change."""
    metadata = seen(copies.target, "A").metadata
    edit(copies.target, "A", metadata={"oops": 1})
    edit(copies.target, "A", metadata=metadata)
    edit(copies.source, "A", metadata={"here": 1})
    assert promoted(copies, "A")[0] is APPLIED
    assert seen(copies.target, "A") == seen(copies.source, "A")


def test_after_a_decision_promotion_goes_on_from_there(copies: Copies) -> None:
    edit(copies.source, "A", metadata={"x": "here"})
    edit(copies.target, "A", metadata={"x": "there"})
    assert promoted(copies, "A")[0] is INVALID
    chosen = Selection(ids=("A",))
    assert copies.run("overwrite", selection=chosen).counts.by_state == {APPLIED: 1}
    edit(copies.source, "A", metadata={"x": "later"})
    assert promoted(copies, "A")[0] is APPLIED


def test_what_no_copy_is_recorded_of(copies: Copies, tmp_path: Path) -> None:
    """Equal is equal; different cannot be judged."""
    (tmp_path / "ledger.db").unlink()
    edit(copies.target, "A", metadata={"organism": "rat"})
    state, reasons = promoted(copies, "A")
    assert (state, reasons[0]) == (INVALID, NO_BASE)
    assert '/organism ("human" here, "rat" there)' in reasons[1]


def test_gone_on_both_sides_is_nothing(copies: Copies) -> None:
    copies.source.remove("A")
    copies.target.remove("A")
    summary = copies.run("promote", selection=Selection(ids=("A", "B")))
    assert states(copies, summary) == {"A": UNCHANGED, "B": UNCHANGED}
    assert states(copies, copies.run("promote")) == {"B": UNCHANGED, "C": UNCHANGED}


def test_gone_here_is_said_of_a_whole_atlas_even_if_it_is_empty(copies: Copies) -> None:
    for name in "ABC":
        copies.source.remove(name)
    copies.target.add("theirs")
    summary = copies.run("promote")
    assert states(copies, summary) == dict.fromkeys("ABC", SKIPPED)
    assert set(copies.reasons(summary).values()) == {(GONE_HERE,)}


def test_gone_under_another_name(copies: Copies, tmp_path: Path) -> None:
    """A copy under another id is gone when its source is; not because none has its own id."""
    path = tmp_path / "rows.csv"
    path.write_text("dataset_id,from_dataset_id\nother,A\n")
    rows = Selection(manifest_uri=str(path))
    assert copies.run("promote", selection=rows).counts.by_state == {APPLIED: 1}
    assert states(copies, copies.run("promote")) == dict.fromkeys("ABC", UNCHANGED)
    copies.source.remove("A")
    summary = copies.run("promote")
    assert copies.reasons(summary)["other"] == (GONE_HERE,)
    assert states(copies, summary)["A"] is SKIPPED


def test_a_copy_of_another_dataset_is_no_base(copies: Copies, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("dataset_id,from_dataset_id\nA,B\n")
    summary = copies.run("promote", selection=Selection(manifest_uri=str(path)))
    assert copies.reasons(summary)["A"][0] == NO_BASE


def test_a_base_in_a_manifest_is_not_believed(copies: Copies, tmp_path: Path) -> None:
    """Only the ledger says what was copied."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"dataset_id": "A", "@last_copy": {"made": "up"}}\n')
    summary = copies.run("promote", selection=Selection(manifest_uri=str(path)))
    assert states(copies, summary) == {"A": UNCHANGED}


def test_what_the_ledger_knows_is_in_no_report(copies: Copies) -> None:
    summary = copies.run("promote")
    report = copies.rig.folder / "reports" / f"{summary.run_id}.jsonl"
    assert len(report.read_text().splitlines()) == 3
    assert "@last_copy" not in report.read_text()


def test_a_file_that_was_removed_here_is_removed_there(copies: Copies) -> None:
    before = seen(copies.target, "A")
    copies.target.add_file("A", "theirs.txt")
    copies.source.remove_file("A", "notes.txt")
    summary = copies.run("promote")
    assert states(copies, summary) == {"A": APPLIED, "B": UNCHANGED, "C": UNCHANGED}
    assert set(seen(copies.target, "A").files) == {"qc.html", "theirs.txt"}
    assert promoted(copies, "A") == (UNCHANGED, ())
    undone(copies, summary.run_id)
    copies.target.remove_file("A", "theirs.txt")
    assert seen(copies.target, "A") == before


def test_a_linked_file_that_was_removed_here_is_removed_there(copies: Copies) -> None:
    """By itself, and where it goes with data that is replaced as well."""
    copies.source.remove_file("A", "qc.html")
    assert promoted(copies, "A")[0] is APPLIED
    assert seen(copies.target, "A") == seen(copies.source, "A")
    copies.source.add_file("C", "linked.txt", linked=True)
    copies.run("promote")
    edit(copies.source, "C", data_s3_uri="s3://fake/8/v2/C/C.gct?versionId=new")
    assert promoted(copies, "C")[0] is APPLIED
    assert seen(copies.target, "C") == seen(copies.source, "C")
    assert set(seen(copies.target, "C").files) == {"sdrf.tsv"}


def test_a_file_that_was_removed_here_and_changed_there_is_a_conflict(copies: Copies) -> None:
    copies.source.remove_file("A", "notes.txt")
    theirs = copies.target.add_file("A", "notes.txt", content=b"theirs")
    state, reasons = promoted(copies, "A")
    assert (state, reasons[0]) == (INVALID, CONFLICT)
    assert "on both sides: @file notes.txt" in reasons[1]
    files = copies.target.files(DatasetId("A"))
    assert theirs.file_location in {file.file_location for file in files}


def test_a_file_that_was_removed_here_stays_where_files_are_left_behind(copies: Copies) -> None:
    copies.source.remove_file("A", "notes.txt")
    edit(copies.source, "A", metadata={"here": 1})
    summary = copies.run("promote", spec={"files": False})
    assert states(copies, summary)["A"] is APPLIED
    assert "notes.txt" in seen(copies.target, "A").files


def test_files_only_there_stay_where_no_copy_is_recorded(copies: Copies, tmp_path: Path) -> None:
    copies.source.remove_file("A", "notes.txt")
    (tmp_path / "ledger.db").unlink()
    assert promoted(copies, "A") == (UNCHANGED, ())
    assert "notes.txt" in seen(copies.target, "A").files


def undone(copies: Copies, run_id: RunId, **how: object) -> RunSummary:
    """What that run did is taken back."""
    change: JsonObject = {"run_id": run_id, **how}  # type: ignore[dict-item]
    return copies.rig.run(
        copies.rig.request(
            operation=OperationName.UNDO, change=change, selection=Selection(written_by=run_id)
        )
    )


def promoted_and_undone(copies: Copies) -> RunSummary:
    """Of a dataset that was promoted before, and of a new one."""
    before = seen(copies.target, "A")
    edit(copies.source, "A", metadata={"here": "a mistake"}, study_id="S2")
    copies.source.add_file("A", "notes.txt", content=b"mistaken")
    copies.source.add("new", {"here": "a mistake"})
    summary = copies.run("promote")
    assert summary.counts.by_state == {APPLIED: 2, UNCHANGED: 2}
    undo = undone(copies, summary.run_id)
    assert undo.counts.by_state == {APPLIED: 2}
    assert seen(copies.target, "A") == before
    return undo


def corrected(copies: Copies) -> None:
    for name in ("A", "new"):
        edit(copies.source, name, metadata={"here": "corrected"})


def test_an_undone_promotion_stays_undone_while_the_source_is_as_it_was(copies: Copies) -> None:
    """Whoever undid it did not want it."""
    undo = promoted_and_undone(copies)
    before = seen(copies.target, "A")
    again = copies.run("promote")
    said = (UNDONE.format(run_id=undo.run_id),)
    assert copies.reasons(again) == {"A": said, "B": (), "C": (), "new": said}
    assert again.counts.by_state == {SKIPPED: 2, UNCHANGED: 2}
    assert seen(copies.target, "A") == before


def test_a_corrected_source_is_promoted_as_if_nothing_had_been_undone(copies: Copies) -> None:
    promoted_and_undone(copies)
    corrected(copies)
    again = copies.run("promote")
    assert again.counts.by_state == {APPLIED: 2, UNCHANGED: 2}, copies.reasons(again)
    for name in ("A", "new"):
        assert seen(copies.target, name) == seen(copies.source, name)
    assert copies.run("promote").counts.by_state == {UNCHANGED: 4}
    # And that one is undone as well.
    undone(copies, again.run_id)
    corrected_again = {"here": "corrected again"}
    edit(copies.source, "A", metadata=corrected_again)
    assert states(copies, copies.run("promote")) == {
        "A": APPLIED,
        "B": UNCHANGED,
        "C": UNCHANGED,
        "new": SKIPPED,
    }
    assert seen(copies.target, "A").metadata == corrected_again


def test_edits_there_after_an_undo_are_conflicts(copies: Copies) -> None:
    promoted_and_undone(copies)
    edit(copies.target, "A", metadata={"there": 1})
    copies.target.add("new", {"there": 1})
    corrected(copies)
    reasons = copies.reasons(copies.run("promote"))
    assert (reasons["A"][0], reasons["new"][0]) == (CONFLICT, NO_BASE)
    assert seen(copies.target, "A").metadata == {"there": 1}


def test_edits_there_before_an_undo_are_conflicts(copies: Copies) -> None:
    edit(copies.source, "A", metadata={"here": 1})
    summary = copies.run("promote")
    edit(copies.target, "A", metadata={"here": 1, "there": 1})
    assert undone(copies, summary.run_id).counts.by_state == {APPLIED: 1}
    assert "there" in seen(copies.target, "A").metadata
    edit(copies.source, "A", metadata={"here": 2})
    assert promoted(copies, "A")[1][0] == CONFLICT


def test_a_deletion_there_after_an_undo_is_a_conflict(copies: Copies) -> None:
    promoted_and_undone(copies)
    copies.target.remove("A")
    corrected(copies)
    assert copies.reasons(copies.run("promote"))["A"] == (CONFLICT_DELETED,)


def test_an_overwriting_copy_that_was_undone_is_no_base(copies: Copies) -> None:
    copies.source.add("D", {"here": 1})
    copies.target.add("D", {"there": 1})
    summary = copies.run("overwrite", selection=Selection(ids=("D",)))
    undone(copies, summary.run_id)
    edit(copies.source, "D", metadata={"here": 2})
    assert copies.reasons(copies.run("promote"))["D"][0] == NO_BASE


def test_an_undo_that_was_undone_is_as_if_it_had_not_been(copies: Copies) -> None:
    undo = promoted_and_undone(copies)
    assert undone(copies, undo.run_id).counts.by_state == {APPLIED: 2}
    assert copies.run("promote").counts.by_state == {UNCHANGED: 4}
    corrected(copies)
    assert copies.run("promote").counts.by_state == {APPLIED: 2, UNCHANGED: 2}
    assert seen(copies.target, "A") == seen(copies.source, "A")


def test_an_undo_of_some_fields_is_an_edit_there(copies: Copies) -> None:
    edit(copies.source, "A", metadata={"one": 1, "two": 2})
    summary = copies.run("promote")
    undone(copies, summary.run_id, fields=["one"])
    assert promoted(copies, "A") == (SKIPPED, (CHANGED_THERE,))
    edit(copies.source, "A", metadata={"one": 2, "two": 2})
    assert promoted(copies, "A")[1][0] == CONFLICT


def test_gone_here_after_the_only_copy_was_undone(copies: Copies) -> None:
    """What lives there now came from nowhere here."""
    promoted_and_undone(copies)
    copies.target.add("new")
    copies.source.remove("new")
    assert "new" not in states(copies, copies.run("promote"))
