"""Formats by name: everything the official client knows, and what it does not (wire.md §5.3)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.payloads.formats import extension_for, extension_of, infer_format

OFFICIAL = {
    ".txt": "txt",
    ".gct": "gct",
    ".csv": "csv",
    ".tsv": "tsv",
    ".h5ad": "h5ad",
    ".fasta": "fasta",
    ".fastq": "fastq",
    ".sam": "sam",
    ".bam": "bam",
    ".vcf": "vcf",
    ".maf": "maf",
    ".idat": "idat",
    ".bed": "bed",
    ".dcm": "dcm",
    ".pdb": "pdb",
    ".mzml": "mzml",
    ".cel": "cel",
    ".fcs": "fcs",
    ".ab1": "ab1",
    ".sff": "sff",
    ".png": "png",
    ".xml": "xml",
    ".json": "json",
    ".sbml": "sbml",
    ".gff": "gff",
    ".parquet": "parquet",
    ".pdf": "pdf",
    ".rds": "rds",
    ".fa": "fasta",
    ".nii": "nifti",
    ".ped": "plink",
    ".map": "plink",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".RData": "rdata",
    ".rdata": "rdata",
    ".h5Seurat": "h5seurat",
    ".h5seurat": "h5seurat",
}


@pytest.mark.parametrize(("extension", "name"), OFFICIAL.items())
def test_official_extensions(extension: str, name: str) -> None:
    plain = infer_format("GSE1" + extension)
    packed = infer_format(f"folder.csv/GSE1{extension}.gz")
    assert (plain.name, plain.extension) == (name, extension)
    assert (packed.name, packed.extension) == (name + "+gzip", extension + ".gz")


@pytest.mark.parametrize(
    ("file", "name", "extension"),
    [
        ("report.html", "html", ".html"),
        ("bundle.zip", "zip", ".zip"),
        ("sheet.xlsx", "xlsx", ".xlsx"),
        ("README.md", "md", ".md"),
        ("counts.h5", "h5", ".h5"),
        ("matrix.mtx.gz", "mtx+gzip", ".mtx.gz"),
        ("raw.tar.gz", "tar+gzip", ".tar.gz"),
        ("raw.tgz", "tar+gzip", ".tgz"),
        ("l1000.gctx", "gctx", ".gctx"),
        ("GSE1.v2.csv", "csv", ".csv"),
        ("GSE1.v2.CSV.GZ", "csv+gzip", ".CSV.GZ"),
        ("GSE1.CSV", "csv", ".CSV"),
        (".hidden.csv", "csv", ".csv"),
        ("a:b.csv", "csv", ".csv"),
        ("a#1?.csv", "csv", ".csv"),
    ],
)
def test_extensions_beyond_the_official_ones(file: str, name: str, extension: str) -> None:
    found = infer_format(file)
    assert (found.name, found.extension) == (name, extension)


@pytest.mark.parametrize(
    ("file", "extension"),
    [
        ("GSE1", ""),
        ("GSE1.csv", ".csv"),
        ("GSE1.v2.weird", ".weird"),
        ("GSE1.weird.gz", ".weird.gz"),
        (".csv", ""),
        ("GSE1.", ""),
    ],
)
def test_explicit_format_wins(file: str, extension: str) -> None:
    found = infer_format(file, "mine")
    assert (found.name, found.extension) == ("mine", extension)


@pytest.mark.parametrize("file", ["GSE1", "GSE1.weird", ".csv", "GSE1.", "x.gz", "x.csv.bak"])
def test_unknown_names_say_what_to_pass(file: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be told from its name.*pass file_format="):
        infer_format(file, argument="file_format")


@pytest.mark.parametrize("file", ["", "folder/", ".", "a/.."])
def test_names_of_no_file(file: str) -> None:
    with pytest.raises(InvalidInput, match=r"names no file"):
        infer_format(file, "csv")


def test_empty_explicit_format() -> None:
    with pytest.raises(InvalidInput, match=r"data_format for 'x.csv' is empty"):
        infer_format("x.csv", " ")


def test_path_objects() -> None:
    assert infer_format(Path("a") / "b.h5ad").name == "h5ad"


@pytest.mark.parametrize(
    ("format_name", "stored", "extension"),
    [
        ("csv", "x.tsv", ".csv"),
        ("json+gzip", "x", ".json.gz"),
        ("gct", "x.gct", ".gct"),
        ("h5ad", "x.h5ad", ".h5ad"),
        ("vcf+gzip", "x.vcf.gz", ".vcf.gz"),
        ("mine", "x", ""),
    ],
)
def test_extension_of_a_download(format_name: str, stored: str, extension: str) -> None:
    assert extension_for(format_name, stored) == extension


@given(
    st.from_regex(r"[A-Za-z0-9_.-]{0,8}[A-Za-z0-9]", fullmatch=True),
    st.sampled_from(list(OFFICIAL)),
)
def test_whatever_stands_before_the_extension(stem: str, extension: str) -> None:
    found = infer_format(stem + extension)
    assert found.name == OFFICIAL[extension]
    assert found.extension == extension_of(stem + extension) == extension
