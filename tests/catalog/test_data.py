"""The ``data`` that users give, and what they may call things."""

from pathlib import Path
from typing import Any

import pytest

from polly_core.catalog.data import Local, Stored, check_file_name, existing_file, open_data
from polly_core.catalog.envelopes import check_id, check_metadata, expecting, write_meta
from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject


def test_a_location_is_used_as_it_is() -> None:
    with open_data("s3://b/9/k.gct?versionId=1", "gct") as source:
        assert source == Stored("s3://b/9/k.gct?versionId=1", "gct")


@pytest.mark.parametrize(
    ("data", "data_format", "problem"),
    [
        ("s3://b/k.gct", None, "'data_format' is a required field"),
        ("s3://b", "gct", "lacks a bucket or a key"),
        ("s3://b/k#1.gct", "gct", "%23"),
        ("absent.gct", None, "found nothing"),
        (".", None, "found a folder"),
        (7, None, "Unsupported type"),
        (b"bytes", None, "Unsupported type"),
        (None, None, "Unsupported type"),
    ],
)
def test_unusable_data_is_refused(data: object, data_format: str | None, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem), open_data(data, data_format):
        pass


def test_a_path_tells_its_format(tmp_path: Path) -> None:
    path = tmp_path / "x.v2.CSV.gz"
    path.write_bytes(b"x")
    for given in (str(path), path):
        with open_data(given, None) as source:
            assert source == Local(path, "csv+gzip", ".CSV.gz")


def test_objects_are_written_to_a_file_that_is_gone_afterwards() -> None:
    numpy = pytest.importorskip("numpy")
    from anndata import AnnData
    from cmapPy.pandasGEXpress.GCToo import GCToo
    from pandas import DataFrame

    adata = AnnData(numpy.ones((2, 2), dtype="float32"))
    frame = DataFrame([[1.5]], index=["r"], columns=["c"])
    for data, data_format in ((adata, "h5ad"), (GCToo(data_df=frame), "gct")):
        with open_data(data, None) as source:
            assert isinstance(source, Local)
            assert source.data_format == data_format
            assert source.extension == f".{data_format}"
            assert source.path.stat().st_size > 0
        assert not source.path.exists()


def test_a_class_of_the_same_name_is_not_mistaken() -> None:
    class AnnData:
        pass

    with pytest.raises(InvalidInput, match="Unsupported type"), open_data(AnnData(), None):
        pass


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.csv").write_text("x")
    assert existing_file("~/x.csv") == tmp_path / "x.csv"


@pytest.mark.parametrize("name", ["a", "a#1.csv", "ä\u00a0ö", "x" * 255, "...", "a\\b"])
def test_usable_file_names(name: str) -> None:
    check_file_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\n", "\0", "x" * 256, "k.versions"])
def test_unusable_file_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was sent"):
        check_file_name(name)


@pytest.mark.parametrize(
    ("identifier", "problem"),
    [
        ("", "Empty string cannot be used as dataset_id"),
        ("a b", "consider using 'a_b'"),
        ("../x", "consider using '___x'"),
        ("ä", "consider using '_'"),
        ("a\n", "consider using 'a_'"),
        ("x" * 256, "256 characters"),
    ],
)
def test_unusable_ids(identifier: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        check_id(identifier, "dataset_id")


def test_metadata_is_a_json_object() -> None:
    check_metadata({"a": [1, None]})
    unusable: list[Any] = [[], None, "x", {"a": float("nan")}, {"a": {1, 2}}]
    for bad in unusable:
        with pytest.raises(InvalidInput):
            check_metadata(bad)


def test_other_parameters_may_replace_anything() -> None:
    assert write_meta({"priority": "low"}, None) == {"ingestion_params": {"priority": "low"}}
    assert write_meta(None, {"x": 1}) == {"ingestion_params": None, "x": 1}
    assert write_meta({"a": 1}, {"ingestion_params": None}) == {"ingestion_params": None}
    mine: JsonObject = {"expected_version_id": "mine"}
    assert expecting(mine, "seen") == mine
    assert expecting({}, "seen") == {"expected_version_id": "seen"}
