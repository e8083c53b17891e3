"""Undo where files would go with the data, or with the dataset, that somebody attached since."""

from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetId, NewFile
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from tests.operations.scenarios import COPY, CREATE, DATA, ROLLBACK, Asked, Scenario
from tests.operations.sites import FakeSite

APPLIED, INVALID = ItemState.APPLIED, ItemState.INVALID
of_every_kind = pytest.mark.parametrize(
    ("scenario", "name"),
    [(DATA, "A"), (ROLLBACK, "B"), (COPY, "B"), (CREATE, "D")],
    ids=["data", "rollback", "copy-overwrite", "create-update"],
)


@pytest.fixture(params=[True, False], ids=["enforced", "hosted"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> FakeSite:
    return FakeSite.make(tmp_path / "site", enforce_versions=request.param)


def _undo(site: FakeSite, run_id: str) -> RunSummary:
    asked = Asked({"run_id": run_id}, Selection(written_by=run_id))
    return site.run(site.ask(OperationName.UNDO, asked))


def _refused(site: FakeSite, run_id: str, name: str) -> str:
    """Why the undo of that dataset was; the rest is undone."""
    undone = _undo(site, run_id)
    assert undone.counts.of(INVALID) == 1
    assert undone.counts.of(APPLIED) == undone.counts.total - 1
    (reason,) = next(row for row in site.rig.items(undone.run_id) if row.dataset_id == name).reasons
    return reason


def _files(site: FakeSite, name: str) -> dict[str, str]:
    return {one.file_name: one.file_location for one in site.fake.files(DatasetId(name))}


@of_every_kind
def test_a_linked_file_attached_since_is_not_lost(
    site: FakeSite, scenario: Scenario, name: str
) -> None:
    done = site.run(scenario.request(site))
    site.fake.add_file(name, "theirs.txt", linked=True)
    files = _files(site, name)
    reason = _refused(site, done.run_id, name)
    assert reason.startswith("needs a decision: linked file 'theirs.txt' was attached since")
    assert _files(site, name) == files
    site.fake.remove_file(name, "theirs.txt")
    assert _undo(site, done.run_id).counts.of(APPLIED) == 1


@of_every_kind
def test_a_file_without_a_link_stays(site: FakeSite, scenario: Scenario, name: str) -> None:
    done = site.run(scenario.request(site))
    theirs = site.fake.add_file(name, "theirs.txt")
    undone = _undo(site, done.run_id)
    assert undone.counts.of(APPLIED) == undone.counts.total
    assert _files(site, name)["theirs.txt"] == theirs.file_location


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "free"])
def test_another_in_the_place_of_one_that_went_with_the_data(site: FakeSite, linked: bool) -> None:
    done = site.run(DATA.request(site))
    theirs = site.fake.add_file("A", "linked.txt", linked=linked, content=b"theirs")
    reason = _refused(site, done.run_id, "A")
    assert "file 'linked.txt': the run left nothing, found" in reason
    assert _files(site, "A")["linked.txt"] == theirs.file_location


def test_what_somebody_put_back_already_is_not_lost(site: FakeSite) -> None:
    request = DATA.request(site)
    (before,) = [one for one in site.fake.files(DatasetId("B")) if one.derived_from]
    done = site.run(request)
    again = NewFile(
        file_name=before.file_name,
        file_s3_uri=before.file_location,
        file_format=before.file_format,
        tag=before.tag,
        source_version_id=site.fake.dataset(DatasetId("B")).version_id,
    )
    site.fake.attach(DatasetId("B"), again)
    undone = _undo(site, done.run_id)
    assert undone.counts.of(APPLIED) == undone.counts.total
    (after,) = site.fake.files(DatasetId("B"))
    assert after.model_dump(exclude={"created_at"}) == before.model_dump(exclude={"created_at"})


def test_a_new_dataset_whose_file_was_replaced_is_not_deleted(site: FakeSite) -> None:
    done = site.run(CREATE.request(site))
    theirs = site.fake.add_file("A", "A.txt", content=b"theirs")
    assert "others have attached files: A.txt" in _refused(site, done.run_id, "A")
    assert _files(site, "A") == {"A.txt": theirs.file_location}
