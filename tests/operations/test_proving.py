"""Verification at any later time, of every operation: what was promised, what others did, what
broke."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.engine.verifying import Verification
from polly_core.models.catalog import (
    Capabilities,
    DatasetChange,
    DatasetId,
    ObjectStat,
    RunId,
    StudyId,
)
from polly_core.models.run import ItemState, Planned, Verify
from polly_core.testing.fake import FakeCatalog
from tests.operations.scenarios import (
    ATTACH,
    CREATE,
    DATA,
    DELETE,
    DETACH,
    INGEST,
    ROLLBACK,
    SCENARIOS,
    STUDY,
    UPDATE,
    Scenario,
)
from tests.operations.sites import FakeSite, real_site
from tests.support.atlas import RunningAtlas


def _run(site: FakeSite, scenario: Scenario) -> RunId:
    request = scenario.request(site, verify=Verify.OFF)
    assert site.run(request).counts.by_state == scenario.ended
    return request.run_id


def _verified(site: FakeSite, run_id: RunId) -> Verification:
    with site.rig.session(RunRequest(run_id=run_id)) as session:
        return session.verify()


@pytest.mark.parametrize("enforced", [True, False], ids=["enforcing", "hosted"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_what_every_operation_promised_is_found(
    scenario: Scenario, enforced: bool, tmp_path: Path
) -> None:
    site = FakeSite.make(tmp_path / "site", enforce_versions=enforced)
    run_id = _run(site, scenario)
    writes = len(site.fake.writes)
    found = _verified(site, run_id)
    assert (found.checked, found.findings) == (scenario.ended[ItemState.APPLIED], ())
    assert (found.kept, found.good) == (found.checked, True)
    assert len(site.fake.writes) == writes


@pytest.mark.parametrize("scenario", [CREATE, DATA, ROLLBACK, ATTACH], ids=lambda one: one.name)
def test_on_a_real_server(scenario: Scenario, atlas: RunningAtlas, tmp_path: Path) -> None:
    with real_site(atlas, tmp_path / "site") as site:
        request = scenario.request(site, verify=Verify.OFF)
        assert site.run(request).counts.by_state == scenario.ended
        again = RunRequest(run_id=request.run_id)
        with open_session(again, site.rig.surroundings()) as session:
            found = session.verify()
    assert (found.checked, found.findings) == (scenario.ended[ItemState.APPLIED], ())


class Broken(NamedTuple):
    """Something is no longer so, and what verification says of it."""

    scenario: Scenario
    damage: Callable[[FakeCatalog], object]
    dataset_id: str
    told: str


def _data_of(fake: FakeCatalog, name: str) -> str:
    return fake.dataset(DatasetId(name)).data_location


def _file_of(fake: FakeCatalog, name: str, file_name: str) -> str:
    found = {one.file_name: one for one in fake.files(DatasetId(name))}
    return found[file_name].file_location


def _spoil(fake: FakeCatalog, location: str, content: bytes) -> None:
    """The store gives other bytes for the same version, behind everybody's back."""
    objects = fake.objects
    objects._contents[objects._known(location)] = content


def _same_size(fake: FakeCatalog, location: str) -> None:
    _spoil(fake, location, b"x" * len(fake.objects.read(location)))


BROKEN = {
    "data is gone": Broken(
        CREATE, lambda fake: fake.objects.lose(_data_of(fake, "A")), "A", "is not in the store"
    ),
    "data has another size": Broken(
        CREATE, lambda fake: _spoil(fake, _data_of(fake, "A"), b"short"), "A", "has 5 bytes"
    ),
    "data has another content": Broken(
        DATA, lambda fake: _same_size(fake, _data_of(fake, "B")), "B", "has SHA-256"
    ),
    "data of an earlier version is gone": Broken(
        ROLLBACK, lambda fake: fake.objects.lose(_data_of(fake, "B")), "B", "is not in the store"
    ),
    "a file is gone from the store": Broken(
        ATTACH,
        lambda fake: fake.objects.lose(_file_of(fake, "A", "a.txt")),
        "A",
        "file 'a.txt' is not in the store",
    ),
    "a file has another content": Broken(
        ATTACH,
        lambda fake: _same_size(fake, _file_of(fake, "A", "a.txt")),
        "A",
        "file 'a.txt' has SHA-256",
    ),
    "a file was removed": Broken(
        ATTACH, lambda fake: fake.remove_file("B", "b.txt"), "B", "found nothing; somebody may"
    ),
    "a file is there again": Broken(
        DETACH, lambda fake: fake.add_file("B", "free.txt"), "B", "'free.txt' is there again"
    ),
    "it is in another study": Broken(
        STUDY,
        lambda fake: fake.edit("A", DatasetChange(study_id=StudyId("S9"))),
        "A",
        "it is in study S9, expected S2; somebody may",
    ),
    "the service knows of no ingestion": Broken(
        INGEST,
        lambda fake: setattr(fake, "ingestions", lambda _run, _dataset=None: []),
        "A",
        "no record of the ingestion",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_longer_so_is_named(name: str, tmp_path: Path) -> None:
    scenario, damage, dataset_id, told = BROKEN[name]
    site = FakeSite.make(tmp_path / "site")
    run_id = _run(site, scenario)
    assert _verified(site, run_id).good
    damage(site.fake)
    found = _verified(site, run_id)
    assert not found.good
    problems = {one.dataset_id: "; ".join(one.problems) for one in found.findings}
    assert told in problems[dataset_id]


def _anew(fake: FakeCatalog) -> None:
    fake.remove("A")
    fake.add("A", {"another": "life"})


LATER: dict[str, tuple[Scenario, Callable[[FakeCatalog], object]]] = {
    "an edit": (UPDATE, lambda fake: fake.edit("A", DatasetChange(metadata={"later": 1}))),
    "a deletion": (CREATE, lambda fake: fake.remove("A")),
    "another life": (ATTACH, _anew),
    "a deletion of what was moved": (STUDY, lambda fake: fake.remove("A")),
    "new data, which linked files go with": (
        ATTACH,
        lambda fake: fake.edit("A", DatasetChange(data_s3_uri="s3://fake/9/v2/A/A.new.gct")),
    ),
    "a new life of what was deleted": (DELETE, lambda fake: fake.add("A")),
}


@pytest.mark.parametrize("name", LATER)
def test_what_the_history_shows_that_others_did_is_no_problem(name: str, tmp_path: Path) -> None:
    scenario, act = LATER[name]
    site = FakeSite.make(tmp_path / "site")
    run_id = _run(site, scenario)
    act(site.fake)
    assert _verified(site, run_id).findings == ()


def test_only_what_the_store_does_not_tell_is_downloaded(tmp_path: Path) -> None:
    """A store that encrypts has tags of its own; the content decides then."""
    site = FakeSite.make(tmp_path / "site")
    run_id = _run(site, CREATE)
    fetched: list[str] = []
    download, stat = site.fake.download, site.fake.stat

    def counted(location: str, target: Path) -> None:
        fetched.append(location)
        download(location, target)

    def encrypted(location: str) -> ObjectStat:
        return stat(location).model_copy(update={"etag": "0" * 32})

    site.fake.download = counted  # type: ignore[method-assign]
    assert _verified(site, run_id).good
    assert fetched == []
    site.fake.stat = encrypted  # type: ignore[method-assign]
    assert _verified(site, run_id).good
    assert len(fetched) == 8


def test_what_the_plan_knows_of_an_upload_is_enough_to_check_it(tmp_path: Path) -> None:
    site = FakeSite.make(tmp_path / "site")
    run_id = _run(site, CREATE)
    planned = [row.planned for row in site.rig.items(run_id) if row.planned is not None]
    sources = [one.data for one in planned] + [f.source for one in planned for f in one.attach]
    assert sources
    for source in filter(None, sources):
        assert source.size is not None
        assert source.sha256 is not None
        assert source.etag is not None


def test_ingestions_cannot_be_seen_on_the_hosted_service(tmp_path: Path) -> None:
    site = FakeSite.make(tmp_path / "site", enforce_versions=False)
    assert site.fake.capabilities == Capabilities()
    run_id = _run(site, INGEST)
    planned: Planned | None = site.rig.items(run_id)[0].planned
    assert planned is not None
    assert planned.triggers
    assert _verified(site, run_id).good
