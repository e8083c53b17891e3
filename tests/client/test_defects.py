"""Each defect of the vendor's client (wire.md §11), by its number, is absent here: 1 to 12."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from polly_core.auth import Polly
from polly_core.data_management import Catalog, copy_dataset
from polly_core.errors import (
    Conflict,
    IncompleteCopy,
    InvalidInput,
    NotFound,
    StorageError,
    Throttled,
)
from tests.client.stubs import stub_catalog
from tests.support.atlas import RunningAtlas
from tests.transport.stub import Asked, Reply, dataset, serving, tokens

# Data safety


def test_01_gct_objects_keep_full_precision(catalog: Catalog, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from cmapPy.pandasGEXpress.GCToo import GCToo

    values = [[1.2e-7, 3.141592653589793], [123456.789123, -0.1]]
    frame = pandas.DataFrame(values, index=["NA", "r2"], columns=["c1", "c2"])
    catalog.create_dataset("GSE1", "Bulk RNAseq", GCToo(data_df=frame), {})
    loaded = catalog.get_dataset("GSE1").load()
    assert loaded.data_df.to_numpy().tolist() == values
    assert list(loaded.data_df.index) == ["NA", "r2"]


def test_02_a_failed_download_leaves_the_old_file(catalog: Catalog, csv: Path) -> None:
    created = catalog.create_dataset("GSE1", "T", csv, {})
    target = csv.with_name("mine.csv")
    target.write_text("precious")
    created.data_location = created.data_location.replace("GSE1.csv", "lost.csv")
    with pytest.raises(StorageError):
        created.download(target)
    assert target.read_text() == "precious"
    assert sorted(path.name for path in csv.parent.iterdir()) == ["data.csv", "mine.csv"]


@pytest.mark.parametrize("name", ["../x.csv", "/etc/x.csv", "..", ""])
def test_03_a_file_name_leads_out_of_no_folder(name: str, tmp_path: Path) -> None:
    attributes = {
        "dataset_id": "D",
        "omixatlas_id": "9",
        "file_name": name,
        "file_format": "csv",
        "file_location": "s3://b/k",
        "created_at": 1,
    }
    folder = tmp_path / "inner"
    folder.mkdir()
    with serving(Reply(200, {"data": {"id": name, "attributes": attributes}})) as stub:
        file = stub_catalog(stub).get_file("D", "x")
        with pytest.raises(InvalidInput, match="cannot be a file in the folder"):
            file.download(f"{folder}{os.sep}")
    assert list(tmp_path.rglob("*")) == [folder]


def test_04_nothing_is_uploaded_before_everything_is_checked(
    catalog: Catalog, csv: Path, atlas: RunningAtlas
) -> None:
    first = catalog.create_dataset("GSE1", "T", csv, {})
    csv.write_text("other\n" * 1000)
    with pytest.raises(Conflict, match="nothing was uploaded"):
        catalog.create_dataset("GSE1", "T", csv, {})
    with pytest.raises(InvalidInput):
        catalog.update_dataset("GSE1", data=csv, metadata={"n": float("nan")})
    with pytest.raises(InvalidInput):
        catalog.update_dataset("GSE1", data=csv, ingestion_params={"n": float("inf")})
    with pytest.raises(InvalidInput):
        catalog.create_dataset("a b", "T", csv, {})
    for call in (
        lambda: catalog.update_dataset("absent", data=csv),
        lambda: catalog.attach_file("absent", csv),
        lambda: copy_dataset(catalog.omixatlas_id, "absent", atlas.new_atlas(), "C"),
    ):
        with pytest.raises(NotFound):
            call()
    form = catalog._calls._form
    location = f"{first.data_location.partition('?')[0]}"
    csv.write_text("current\n")
    catalog._calls.transport.downloads.download(form, location, csv)
    assert csv.read_text().startswith("gene,count")
    for lost in ("absent/absent.csv", "absent/.sfiles/data.csv"):
        with pytest.raises(StorageError):
            catalog._calls.read_object(location.replace("GSE1/GSE1.csv", lost))


def test_04_a_duplicate_copy_copies_nothing(
    catalog: Catalog, csv: Path, atlas: RunningAtlas
) -> None:
    other = Catalog(atlas.new_atlas())
    catalog.create_dataset("GSE1", "T", csv, {})
    there = csv.with_name("there.csv")
    there.write_text("x")
    held = other.create_dataset("C", "T", there, {})
    with pytest.raises(Conflict, match="nothing was copied"):
        copy_dataset(catalog.omixatlas_id, "GSE1", other.omixatlas_id, "C")
    unpinned = held.data_location.partition("?")[0]
    assert other._calls.read_object(unpinned) == b"x"


def test_05_failed_uploads_are_aborted(tmp_path: Path) -> None:
    begun = "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"

    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        if asked.path.endswith("?uploads"):
            return Reply(200, begun, {"Content-Type": "application/xml"})
        if asked.path.startswith("/repositories"):
            return Reply(200, {"data": dataset()})
        return Reply(204) if asked.method == "DELETE" else Reply(403)

    data = tmp_path / "large.csv"
    data.write_bytes(b"x" * (9 * 1024 * 1024))
    with serving(answer=answer) as stub:
        with pytest.raises(StorageError):
            stub_catalog(stub).update_dataset("GSE1", data=data)
        assert stub.paths("DELETE") == ["/bucket/9/v2/GSE1/GSE1.csv?uploadId=U"]
        assert stub.paths("PATCH") == []


def test_06_rollback_overwrites_no_edit_that_it_has_not_seen(catalog: Catalog, csv: Path) -> None:
    first = catalog.create_dataset("GSE1", "T", csv, {"n": 1})
    catalog.update_dataset("GSE1", metadata={"n": 2})
    calls, patch = catalog._calls, catalog._calls.transport.writes.patch

    def late(path: str, document: object) -> object:
        calls.transport.writes.__dict__.pop("patch")
        catalog.update_dataset("GSE1", metadata={"n": 3})
        return patch(path, document)  # type: ignore[arg-type]

    calls.transport.writes.patch = late  # type: ignore[method-assign, assignment]
    with pytest.raises(Conflict):
        catalog.rollback("GSE1", first.version_id)
    assert catalog.get_dataset("GSE1").metadata() == {"n": 3}


def test_06_an_update_can_name_the_version_it_is_based_on(catalog: Catalog, csv: Path) -> None:
    seen = catalog.create_dataset("GSE1", "T", csv, {"n": 1})
    catalog.update_dataset("GSE1", metadata={"n": 2})
    with pytest.raises(Conflict):
        catalog.update_dataset("GSE1", metadata={"n": 3}, expected_version_id=seen.version_id)
    current = catalog.get_dataset("GSE1")
    assert current.metadata() == {"n": 2}
    catalog.update_dataset("GSE1", metadata={"n": 3}, expected_version_id=current.version_id)


def test_06_where_the_service_cannot_enforce_it_the_client_looks() -> None:
    answers = [Reply(201, tokens()), Reply(200, {"data": dataset()})]
    with serving(*answers) as stub, pytest.raises(Conflict, match="nothing was changed"):
        stub_catalog(stub).update_dataset("GSE1", metadata={}, expected_version_id="older")
    assert stub.paths("PATCH") == []


def test_06_a_copy_says_which_files_are_missing(catalog: Catalog, csv: Path) -> None:
    catalog.create_dataset("GSE1", "T", csv, {})
    for name in ("a.csv", "b.csv", "c.csv"):
        catalog.attach_file("GSE1", csv, file_name=name)
    session = Polly.get_session()
    post = session.transport().writes.post

    def spoiled(path: str, document: dict[str, object]) -> object:
        if "b.csv" in str(document):
            raise Throttled("Too many requests", status=429)
        return post(path, document)  # type: ignore[arg-type]

    session.transport().writes.post = spoiled  # type: ignore[method-assign, assignment]
    with pytest.raises(IncompleteCopy, match="1 of 3 files") as caught:
        copy_dataset(catalog.omixatlas_id, "GSE1", catalog.omixatlas_id, "C")
    assert list(caught.value.missing) == ["b.csv"]
    assert [file.file_name for file in catalog.list_files("C")] == ["a.csv", "c.csv"]
    session.transport().writes.__dict__.pop("post")
    copy_dataset(catalog.omixatlas_id, "GSE1", catalog.omixatlas_id, "C", overwrite=True)
    assert len(catalog.list_files("C")) == 3


def test_07_metadata_is_nobodys_cache(catalog: Catalog, csv: Path) -> None:
    created = catalog.create_dataset("GSE1", "T", csv, {"list": [1]})
    created.metadata()["list"] = "changed"
    created.metadata()["more"] = 1
    assert created.metadata() == {"list": [1]}


# Names


@pytest.mark.parametrize("name", ["a#1.csv", "a?1.csv", "100%41.csv", "ä ö.csv", "a+b&c=d.csv"])
def test_08_odd_file_names_are_what_they_are(catalog: Catalog, csv: Path, name: str) -> None:
    catalog.create_dataset("GSE1", "T", csv, {})
    attached = catalog.attach_file("GSE1", csv, file_name=name)
    assert attached.file_name == name
    assert catalog.get_file("GSE1", name).file_location == attached.file_location
    folder = csv.parent / "down"
    folder.mkdir()
    attached.download(folder)
    assert [path.name for path in folder.iterdir()] == [name]
    catalog.delete_file("GSE1", name)
    assert catalog.list_files("GSE1") == []


def test_08_no_id_reaches_another_route(catalog: Catalog, csv: Path) -> None:
    catalog.create_dataset("GSE1", "T", csv, {}, study_id="S")
    assert "../studies/S" not in catalog
    for read in (catalog.get_dataset, catalog.list_files, catalog.list_datasets_in_study):
        with pytest.raises(InvalidInput):
            read("../studies/S")
    for name in ("../../x", "..", "a/b", "x\n", "x.versions", "x" * 256):
        with pytest.raises(InvalidInput, match="file name"):
            catalog.attach_file("GSE1", csv, file_name=name)


def test_09_formats_are_told_by_the_end_of_the_name(catalog: Catalog, tmp_path: Path) -> None:
    for name, given, told in (
        ("GSE1.v2.csv", None, "csv"),
        ("UPPER.CSV", None, "csv"),
        ("dotless", "csv", "csv"),
        ("counts.csv", "tsv", "tsv"),
        ("notes.md", None, "md"),
    ):
        path = tmp_path / name
        path.write_text("x")
        dataset_id = name.replace(".", "_")
        extra: dict[str, Any] = {} if given is None else {"data_format": given}
        created = catalog.create_dataset(dataset_id, "T", str(path), {}, **extra)
        assert created.data_format == told
    report = tmp_path / "report.html"
    report.write_text("<html>")
    assert catalog.attach_file("notes_md", str(report)).file_format == "html"


def test_10_paths_with_colons_and_path_objects(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a:b.csv"
    path.write_text("x")
    assert catalog.create_dataset("A", "T", path, {}).data_format == "csv"
    monkeypatch.chdir(tmp_path)
    assert catalog.create_dataset("B", "T", "a:b.csv", {}).data_format == "csv"
    assert catalog.attach_file("B", "a:b.csv").file_name == "a:b.csv"


def test_11_an_existing_folder_needs_no_separator(catalog: Catalog, csv: Path) -> None:
    created = catalog.create_dataset("GSE1", "T", csv, {})
    attached = catalog.attach_file("GSE1", csv)
    folder = csv.parent / "dir"
    folder.mkdir()
    assert created.download(str(folder)) == str(folder / "GSE1.csv")
    assert attached.download(folder) == str(folder / "data.csv")


def test_12_gzipped_data_is_loaded(catalog: Catalog, tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    import numpy as np
    from anndata import AnnData

    from polly_core.payloads.h5ad import write_h5ad

    gct = tmp_path / "x.gct.gz"
    gct.write_bytes(gzip.compress(b"#1.2\n1\t1\nName\tDescription\ts\nr\td\t1.5\n"))
    plain = tmp_path / "x.h5ad"
    write_h5ad(AnnData(np.ones((2, 3), dtype="float32")), plain)
    packed = tmp_path / "x.h5ad.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    catalog.create_dataset("G", "T", gct, {})
    catalog.create_dataset("H", "T", packed, {})
    assert catalog.get_dataset("G").load().data_df.iloc[0, 0] == 1.5
    assert catalog.get_dataset("H").load().shape == (2, 3)
    catalog.update_dataset("G", data=plain)
    assert catalog.get_dataset("G").load().shape == (2, 3)


def test_keys_that_json_would_make_the_same_are_refused(catalog: Catalog, csv: Path) -> None:
    """Nothing is kept under another key than the given one, and nothing is stored."""
    lossy: Any = {"runs": {1: "a", "1": "b"}}
    with pytest.raises(InvalidInput, match=r"found 1 \(int\) in metadata\.runs"):
        catalog.create_dataset("GSE1", "T", csv, lossy)
    assert list(catalog.list_datasets()) == []
    catalog.create_dataset("GSE1", "T", csv, {})
    with pytest.raises(InvalidInput, match=r"found 1 \(int\) in metadata\.runs"):
        catalog.update_dataset("GSE1", metadata=lossy)
