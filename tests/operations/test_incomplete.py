"""An item that failed half-way is finished by a retry, or taken back by undo; never forgotten."""

import pytest

from polly_core.errors import BadRequest, NotFound
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunState, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import WriteKind
from tests.engine.rig import Rig

COPY: JsonObject = {"from_atlas": "17", "existing": "overwrite"}
D0 = DatasetId("D0000")


def _half_copied(rig: Rig) -> RunSummary:
    """A dataset of the destination is overwritten, the second of its files is refused."""
    source: FakeCatalog = rig.fake.another("17")
    source.add("D0000", {"n": "new"}, study_id="S2")
    for name in ("a.txt", "b.txt"):
        source.add_file("D0000", name, content=name.encode() * 2000)
    rig.fake.add("D0000", {"n": "old"}, study_id="S1")
    rig.fake.add_file("D0000", "a.txt", content=b"the old one")
    refused = BadRequest("Bad Request", "as scripted", status=400)
    rig.fake.after_write(
        "D0000",
        lambda: rig.fake.fail_write(refused, "D0000", kind=WriteKind.ATTACH),
        kind=WriteKind.ATTACH,
    )
    summary = rig.run(rig.request(operation=OperationName.COPY, change=COPY))
    assert summary.counts.by_state == {ItemState.FAILED: 1}
    (row,) = rig.items(summary.run_id)
    assert [one.step for one in row.done][-1] != "attach:b.txt"
    assert rig.fake.metadata(rig.fake.dataset(D0)) == {"n": "new"}
    return summary


def _files(rig: Rig) -> dict[str, int]:
    stat = rig.fake.stat
    return {file.file_name: stat(file.file_location).size for file in rig.fake.files(D0)}


def test_a_retry_goes_on_where_it_was(either: Rig) -> None:
    run_id = _half_copied(either).run_id
    with open_ledger(either.ledger_url) as ledger:
        assert ledger.reopen(run_id) == 1
        ledger.set_state(run_id, RunState.SELECTED)
    versions = len(either.fake.versions(D0))
    assert either.take_up(run_id).counts.by_state == {ItemState.APPLIED: 1}
    assert _files(either) == {"a.txt": 10_000, "b.txt": 10_000}
    assert len(either.fake.versions(D0)) == versions, "the dataset itself was complete"


@pytest.mark.parametrize("retried", [False, True])
def test_undo_takes_back_what_was_done(either: Rig, retried: bool) -> None:
    run_id = _half_copied(either).run_id
    if retried:
        with open_ledger(either.ledger_url) as ledger:
            ledger.reopen(run_id)
            ledger.set_state(run_id, RunState.SELECTED)
        either.take_up(run_id)
    request = either.request(
        operation=OperationName.UNDO,
        change={"run_id": run_id},
        selection=Selection(written_by=run_id),
    )
    assert either.run(request).counts.by_state == {ItemState.APPLIED: 1}
    back = either.fake.dataset(D0)
    assert (either.fake.metadata(back), back.study_id) == ({"n": "old"}, "S1")
    assert _files(either) == {"a.txt": len(b"the old one")}


def test_a_half_created_dataset_is_taken_back(either: Rig) -> None:
    source: FakeCatalog = either.fake.another("17")
    source.add("D0000", {"n": 1})
    source.add_file("D0000", "a.txt")
    refused = BadRequest("Bad Request", "as scripted", status=400)
    either.fake.fail_write(refused, "D0000", kind=WriteKind.ATTACH)
    done = either.run(either.request(operation=OperationName.COPY, change=COPY))
    assert done.counts.by_state == {ItemState.FAILED: 1}
    request = either.request(
        operation=OperationName.UNDO,
        change={"run_id": done.run_id},
        selection=Selection(written_by=done.run_id),
    )
    assert either.run(request).counts.by_state == {ItemState.APPLIED: 1}
    with pytest.raises(NotFound):
        either.fake.dataset(D0)
