"""The study that datasets were known to be in, at each of their versions."""

from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch
from polly_core.models.catalog import StudyId, VersionId
from polly_core.models.run import ItemState, OperationName, Outcome, Planned, StudyTarget
from tests.ledger.test_history import PRODUCTION, STAGING, A, B, C, apply, planned, run

V0, V1, V2 = (VersionId(name) for name in ("v0", "v1", "v2"))
UPDATE = OperationName.UPDATE


def test_what_plans_saw_and_runs_made_the_newest_last(ledger: Ledger) -> None:
    seen = [planned("A", "v1", study="s1"), planned("B", "v1")]
    apply(ledger, run(ledger, 1, seen, operation=UPDATE), ItemState.APPLIED, ItemState.FAILED)
    run(ledger, 2, [planned("A", "v1", study="s2")], operation=UPDATE)
    run(ledger, 3, [planned("A", "v1", study="other")], operation=UPDATE, catalog=STAGING)
    found = ledger.studies_seen(PRODUCTION, [A, B, C])
    # The version that run 1 made has the study that its plan saw.
    assert found == {A: {V1: "s2", VersionId("1-0"): "s1"}, B: {V1: None}}
    assert ledger.studies_seen(PRODUCTION, []) == {}


def test_moves_count_where_they_happened(ledger: Ledger) -> None:
    moves = [
        planned(name, "v1", study="s1").model_copy(
            update={"wanted": None, "study": StudyTarget(study_id=StudyId("s2"))}
        )
        for name in ("A", "B")
    ]
    claim = run(ledger, 1, moves, operation=OperationName.STUDY)
    ledger.commit(claim, Batch(sent=(0, 1)))
    moved, failed = ItemState.APPLIED, ItemState.FAILED
    # A move makes no version.
    outcomes = (Outcome(seq=0, state=moved), Outcome(seq=1, state=failed))
    ledger.commit(claim, Batch(outcomes=outcomes))
    assert ledger.studies_seen(PRODUCTION, [A, B]) == {A: {V1: "s2"}, B: {V1: "s1"}}


def test_creations_and_deletions(ledger: Ledger) -> None:
    plans = [
        Planned(ended=V0, creates=A, study=StudyTarget(study_id=StudyId("s1"))),
        planned("B", "v2", study="s1").model_copy(update={"wanted": None, "deletes": True}),
    ]
    apply(ledger, run(ledger, 1, plans, operation=UPDATE), ItemState.APPLIED, ItemState.APPLIED)
    assert ledger.studies_seen(PRODUCTION, [A, B]) == {
        A: {VersionId("1-0"): "s1"},
        B: {V2: "s1"},
    }
