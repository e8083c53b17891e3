"""Copies of datasets."""

from pathlib import Path

import pytest

from polly_core.data_management import Catalog, copy_dataset
from polly_core.errors import Conflict, InvalidInput
from tests.support.atlas import RunningAtlas


@pytest.fixture
def other(authorized: None, atlas: RunningAtlas) -> Catalog:
    """A second, empty catalog."""
    return Catalog(atlas.new_atlas())


def fill(catalog: Catalog, csv: Path) -> None:
    made = catalog.create_dataset("GSE1", "Bulk", csv, {"n": 1}, study_id="S1")
    catalog.attach_file("GSE1", csv, file_name="free #1.csv", tag="T")
    catalog.attach_file("GSE1", csv, file_name="linked.csv", source_version_id=made.version_id)


def check(copied: Catalog, dataset_id: str, csv: Path) -> None:
    found = copied.get_dataset(dataset_id)
    assert (found.data_type, found.data_format, found.study_id) == ("Bulk", "csv", "S1")
    assert found.metadata() == {"n": 1}
    target = csv.with_name("back")
    downloads = [found.download, *(file.download for file in copied.list_files(dataset_id))]
    for download in downloads:
        download(target)
        assert target.read_bytes() == csv.read_bytes()
    files = {file.file_name: file for file in copied.list_files(dataset_id)}
    assert files["free #1.csv"].tag == "T"
    assert files["free #1.csv"].derived_from is None
    assert files["linked.csv"].derived_from == found.data_location


def test_within_an_atlas_objects_are_shared(catalog: Catalog, csv: Path) -> None:
    fill(catalog, csv)
    copied = copy_dataset(catalog.omixatlas_id, "GSE1", catalog.omixatlas_id, "COPY")
    assert copied.data_location == catalog.get_dataset("GSE1").data_location
    check(catalog, "COPY", csv)


def test_across_atlases_objects_are_copied(catalog: Catalog, other: Catalog, csv: Path) -> None:
    fill(catalog, csv)
    copied = copy_dataset(catalog.omixatlas_id, "GSE1", other.omixatlas_id, "COPY")
    assert f"/{other.omixatlas_id}/v2/COPY/COPY.csv?versionId=" in copied.data_location
    check(other, "COPY", csv)
    for file in other.list_files("COPY"):
        assert f"/{other.omixatlas_id}/v2/COPY/.sfiles/" in file.file_location
        assert "?versionId=" in file.file_location


def test_overwriting_keeps_the_history(catalog: Catalog, other: Catalog, csv: Path) -> None:
    fill(catalog, csv)
    old = csv.with_name("old.csv")
    old.write_text("old")
    first = other.create_dataset("COPY", "Other", old, {"old": True})
    with pytest.raises(Conflict, match="overwrite=True"):
        copy_dataset(catalog.omixatlas_id, "GSE1", other.omixatlas_id, "COPY")
    copy_dataset(catalog.omixatlas_id, "GSE1", other.omixatlas_id, "COPY", True)
    check(other, "COPY", csv)
    history = other.list_versions("COPY")
    assert [version.version_id for version in history][-1] == first.version_id
    assert history[-1].metadata() == {"old": True}


def test_parameters_go_with_the_copy(catalog: Catalog, csv: Path) -> None:
    catalog.create_dataset("GSE1", "Bulk", csv, {})
    copy_dataset(
        catalog.omixatlas_id,
        "GSE1",
        catalog.omixatlas_id,
        "COPY",
        ingestion_params={"ingestion_run_id": "run-7", "priority": "low"},
    )
    found = list(catalog._calls.every(catalog._paths.ingestions("run-7", None)))
    assert [entry.attributes["dataset_id"] for entry in found] == ["COPY"]


def test_an_impossible_destination_is_refused_first(authorized: None) -> None:
    with pytest.raises(InvalidInput, match="consider using 'a_b'"):
        copy_dataset("9", "GSE1", "17", "a b")
