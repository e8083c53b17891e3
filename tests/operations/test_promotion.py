"""Promotion: a three-way comparison since the last copy."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetChange, DatasetId
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


def test_a_source_file_that_was_removed_stays_there(copies: Copies) -> None:
    copies.source.remove_file("A", "notes.txt")
    assert promoted(copies, "A") == (UNCHANGED, ())
    edit(copies.source, "A", metadata={"here": 1})
    assert promoted(copies, "A")[0] is APPLIED
    assert "notes.txt" in seen(copies.target, "A").files


def test_an_undone_promotion_stays_undone_until_something_changes(copies: Copies) -> None:
    """Whoever undid it did not want it: it counts as a change made there."""
    before = seen(copies.target, "A")
    edit(copies.source, "A", metadata={"here": 1})
    copies.source.add("new")
    summary = copies.run("promote")
    assert summary.counts.by_state == {APPLIED: 2, UNCHANGED: 2}
    undo = copies.rig.request(
        operation=OperationName.UNDO,
        change={"run_id": summary.run_id},
        selection=Selection(written_by=summary.run_id),
    )
    assert copies.rig.run(undo).counts.by_state == {APPLIED: 2}
    assert seen(copies.target, "A") == before
    again = copies.run("promote")
    assert copies.reasons(again)["A"] == (CHANGED_THERE,)
    assert copies.reasons(again)["new"] == (GONE_THERE,)
    assert seen(copies.target, "A") == before
