"""Random histories of a catalog over real HTTP and S3, against a model of plain dictionaries."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from polly_core.catalog.client import Catalog
from polly_core.catalog.copying import copy_dataset
from polly_core.errors import Conflict, NotFound
from polly_core.transport.default import PollySession
from polly_core.transport.service import Service
from tests.support.atlas import RunningAtlas

IDS = st.sampled_from(["A", "a", "B-1", "C_2"])
STUDIES = st.none() | st.sampled_from(["S1", "S2"])
FILES = st.sampled_from(["f.csv", "f#1.csv", "ü ?.txt"])
METADATA = st.dictionaries(
    st.text(max_size=5),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=3),
    max_size=3,
)
DATA = st.sampled_from(["one", "two"])


@dataclass
class Version:
    """What a version is to be."""

    metadata: dict[str, Any]
    data: str
    data_type: str
    life: int


@dataclass
class Entry:
    """What a dataset id is to be."""

    versions: dict[str, Version] = field(default_factory=dict)
    """By version id, oldest first."""
    alive: bool = False
    life: int = 0
    study: str | None = None
    files: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Content, and the data location a file is linked to."""


class CatalogMachine(RuleBasedStateMachine):
    """Every rule does the same to the catalog and to the model; the invariants compare them."""

    catalog: Catalog
    session: PollySession
    folder: Path
    versions: Bundle[tuple[str, str]] = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Entry] = {}

    def entry(self, dataset_id: str) -> Entry:
        return self.model.setdefault(dataset_id, Entry())

    def file(self, content: str) -> Path:
        path = self.folder / f"{content}.csv"
        path.write_text(content * 400)
        return path

    def written(self, dataset_id: str, made: Any, version: Version) -> tuple[str, str]:
        """A write made this version; files that were linked to other data are gone."""
        entry = self.entry(dataset_id)
        entry.versions[made.version_id] = version
        entry.files = {
            name: (content, link)
            for name, (content, link) in entry.files.items()
            if link in {None, made.data_location}
        }
        return dataset_id, made.version_id

    @rule(target=versions, dataset_id=IDS, metadata=METADATA, data=DATA, study=STUDIES)
    def create(
        self, dataset_id: str, metadata: dict[str, Any], data: str, study: str | None
    ) -> tuple[str, str]:
        entry = self.entry(dataset_id)
        arguments = (dataset_id, "T", self.file(data), metadata)
        if entry.alive:
            with pytest.raises(Conflict):
                self.catalog.create_dataset(*arguments, study_id=study)
            return dataset_id, list(entry.versions)[-1]
        made = self.catalog.create_dataset(*arguments, study_id=study)
        entry.alive, entry.study, entry.files = True, study, {}
        entry.life += 1
        return self.written(dataset_id, made, Version(metadata, data, "T", entry.life))

    @rule(
        target=versions,
        dataset_id=IDS,
        metadata=st.none() | METADATA,
        data=st.none() | DATA,
        data_type=st.sampled_from(["T", "U"]),
    )
    def update(
        self, dataset_id: str, metadata: dict[str, Any] | None, data: str | None, data_type: str
    ) -> tuple[str, str]:
        entry = self.entry(dataset_id)
        source = None if data is None else self.file(data)
        if not entry.alive:
            with pytest.raises(NotFound):
                self.catalog.update_dataset(dataset_id, data_type, metadata, source)
            return dataset_id, "none"
        made = self.catalog.update_dataset(dataset_id, data_type, metadata, source)
        last = list(entry.versions.values())[-1]
        wanted = Version(
            last.metadata if metadata is None else metadata,
            last.data if data is None else data,
            data_type,
            entry.life,
        )
        return self.written(dataset_id, made, wanted)

    @rule(target=versions, version=versions)
    def rollback(self, version: tuple[str, str]) -> tuple[str, str]:
        dataset_id, version_id = version
        entry = self.entry(dataset_id)
        if version_id not in entry.versions:
            with pytest.raises(NotFound):
                self.catalog.rollback(dataset_id, version_id)
            return version
        made = self.catalog.rollback(dataset_id, version_id)
        if not entry.alive:
            entry.alive, entry.study, entry.files = True, None, {}
            entry.life += 1
        old = entry.versions[version_id]
        wanted = Version(old.metadata, old.data, old.data_type, entry.life)
        return self.written(dataset_id, made, wanted)

    @rule(dataset_id=IDS)
    def delete(self, dataset_id: str) -> None:
        entry = self.entry(dataset_id)
        if not entry.alive:
            with pytest.raises(NotFound):
                self.catalog.delete_dataset(dataset_id)
            return
        self.catalog.delete_dataset(dataset_id)
        entry.alive, entry.study, entry.files = False, None, {}

    @rule(dataset_id=IDS, study=STUDIES)
    def move(self, dataset_id: str, study: str | None) -> None:
        entry = self.entry(dataset_id)
        if not entry.alive:
            with pytest.raises(NotFound):
                self.catalog.set_parent_study(dataset_id, study)
            return
        self.catalog.set_parent_study(dataset_id, study)
        entry.study = study

    @rule(dataset_id=IDS, name=FILES, content=DATA, linked=st.booleans())
    def attach(self, dataset_id: str, name: str, content: str, linked: bool) -> None:
        entry = self.entry(dataset_id)
        if not entry.alive:
            with pytest.raises(NotFound):
                self.catalog.attach_file(dataset_id, self.file(content), file_name=name)
            return
        current = self.catalog.get_dataset(dataset_id)
        link = current.version_id if linked else None
        self.catalog.attach_file(
            dataset_id, self.file(content), file_name=name, source_version_id=link
        )
        entry.files[name] = (content, current.data_location if linked else None)

    @rule(dataset_id=IDS, name=FILES)
    def detach(self, dataset_id: str, name: str) -> None:
        entry = self.entry(dataset_id)
        if name in entry.files:
            self.catalog.delete_file(dataset_id, name)
            del entry.files[name]
        else:
            with pytest.raises(NotFound):
                self.catalog.delete_file(dataset_id, name)

    @rule(target=versions, source=IDS, destination=IDS, overwrite=st.booleans())
    def copy(self, source: str, destination: str, overwrite: bool) -> tuple[str, str]:
        atlas = self.catalog.omixatlas_id
        old, new = self.entry(source), self.entry(destination)

        def copied() -> Any:
            return copy_dataset(atlas, source, atlas, destination, overwrite, session=self.session)

        if not old.alive or (new.alive and not overwrite):
            with pytest.raises((NotFound, Conflict)):
                copied()
            return source, "none"
        files = dict(old.files)
        made = copied()
        if not new.alive:
            new.alive, new.files = True, {}
            new.life += 1
        new.study = old.study
        last = list(old.versions.values())[-1]
        version = Version(last.metadata, last.data, last.data_type, new.life)
        found = self.written(destination, made, version)
        for name, (content, link) in files.items():
            new.files[name] = (content, None if link is None else made.data_location)
        return found

    @invariant()
    def listings_agree(self) -> None:
        alive = sorted(i for i, entry in self.model.items() if entry.alive)
        found = self.catalog.list_datasets(prefetch_metadata=True)
        assert [dataset.dataset_id for dataset in found] == alive
        for dataset in found:
            entry = self.model[dataset.dataset_id]
            version_id, version = list(entry.versions.items())[-1]
            assert dataset.version_id == version_id
            assert repr(dataset.metadata()) == repr(version.metadata)
            assert (dataset.data_type, dataset.study_id) == (version.data_type, entry.study)
        studies = {entry.study for entry in self.model.values() if entry.alive} - {None}
        assert self.catalog.list_studies() == sorted(map(str, studies))

    @precondition(lambda self: self.model)
    @invariant()
    def histories_agree(self) -> None:
        for dataset_id, entry in self.model.items():
            assert (dataset_id in self.catalog) == entry.alive
            if not entry.versions:
                continue
            every = self.catalog.list_versions(dataset_id, include_deleted=True)
            assert [v.version_id for v in reversed(every)] == list(entry.versions)
            if entry.alive:
                present = [i for i, v in entry.versions.items() if v.life == entry.life]
                own = self.catalog.list_versions(dataset_id)
                assert [v.version_id for v in reversed(own)] == present
                files = self.catalog.list_files(dataset_id)
                assert {f.file_name: f.derived_from for f in files} == {
                    name: link for name, (_, link) in entry.files.items()
                }

    def teardown(self) -> None:
        for dataset_id, entry in self.model.items():
            for version_id, version in entry.versions.items():
                found = self.catalog.get_version(dataset_id, version_id)
                assert repr(found.metadata()) == repr(version.metadata)
                assert self.content(found) == version.data * 400
            for name, (content, _) in entry.files.items():
                assert self.content(self.catalog.get_file(dataset_id, name)) == content * 400

    def content(self, resource: Any) -> str:
        target = self.folder / "back"
        resource.download(target)
        return target.read_text()


def run(atlas: RunningAtlas, examples: int, steps: int) -> None:
    session = PollySession(Service(atlas.api_url, SecretStr(atlas.api_key)))
    with tempfile.TemporaryDirectory() as folder:

        class Machine(CatalogMachine):
            def __init__(self) -> None:
                super().__init__()
                self.session = session
                self.catalog = Catalog(atlas.new_atlas(), session=session)
                self.folder = Path(folder)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    session.transport().close()


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:Supplementary file:UserWarning")
def test_random_histories(atlas: RunningAtlas) -> None:
    run(atlas, examples=8, steps=20)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:Supplementary file:UserWarning")
def test_many_random_histories(atlas: RunningAtlas) -> None:
    run(atlas, examples=200, steps=50)
