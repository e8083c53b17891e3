"""Real dataset records for the demo and for tests: what is read, under which ids, with which dirt.

Nothing is cleaned here: spellings, broken encodings and ``not available`` are what migrations
are about. Only ids are made acceptable to a catalog.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model

BULK_RNASEQ = "Bulk RNAseq"
PROTEOMICS = "Proteomics"
SINGLE_CELL = "Single Cell RNASeq"

_SDRF_TEXT = (
    "accession",
    "organism",
    "organism_part",
    "disease",
    "cell_type",
    "cell_line",
    "sex",
    "instrument",
    "label",
)
_SFAIRA_SECTIONS = ("dataset_wise", "dataset_or_observation_wise")
_SFAIRA_NOT_DATA = ("_obs_key", "default_embedding")
# Annotation tables of a data set, not data sets of their own.
_SCRNASEQ_TABLES = ("coldata", "rowdata", "metadata", "reddim", "colpairs")


class Record(Model):
    """One dataset as it is to be created."""

    dataset_id: str
    data_type: str
    metadata: JsonObject
    data_file: Path
    """Many records share one file; a caller uploads it once and gives its URI for the rest."""
    study_id: str | None = None
    attachments: tuple[Path, ...] = ()
    """Real supplementary files of this dataset."""


def load_records(shared: Path) -> Iterator[Record]:
    """2,578 real records: bulk RNA-seq, proteomics, single-cell, in this order.

    Raises:
        InvalidInput: the folder is not there or lacks a file.
    """
    if not (shared / "recount2_studies.tsv").is_file():
        raise InvalidInput(
            f"no real data in {shared}: expected recount2_studies.tsv in it; "
            "give the folder that holds the data set lists"
        )
    yield from rnaseq_records(shared)
    yield from proteomics_records(shared)
    yield from sfaira_records(shared)
    yield from scrnaseq_records(shared)


def rnaseq_records(shared: Path) -> Iterator[Record]:
    """2,041 bulk RNA-seq studies; the first has a real matrix of its own size, 978 x 377."""
    matrices = shared / "gct"
    for number, row in enumerate(_table(shared / "recount2_studies.tsv", delimiter="\t")):
        metadata: JsonObject = {
            "accession": row["project"],
            "organism": row["species"],
            "number_samples": int(row["number_samples"]),
        }
        if row["abstract"]:
            metadata["abstract"] = row["abstract"]
        name = "mini_gctoo_for_testing.gct" if number else "test_l1000.gct"
        yield Record(
            dataset_id=_id(row["project"]),
            data_type=BULK_RNASEQ,
            metadata=metadata,
            data_file=matrices / name,
        )


def proteomics_records(shared: Path) -> Iterator[Record]:
    """301 proteomics data sets; those whose sample table is there have it attached."""
    for row in _table(shared / "sdrf_datasets.tsv", delimiter="\t"):
        metadata: JsonObject = {name: row[name] for name in _SDRF_TEXT if row[name]}
        metadata["samples"] = int(row["rows"])
        table = shared / "sdrf" / row["file"]
        yield Record(
            dataset_id=_id(row["file"].removesuffix(".sdrf.tsv")),
            data_type=PROTEOMICS,
            metadata=metadata,
            data_file=shared / "gct" / "test_p100.gct",
            study_id=_id(row["accession"]),
            attachments=(table,) if table.is_file() else (),
        )


def sfaira_records(shared: Path) -> Iterator[Record]:
    """116 single-cell studies. Values may be text, numbers, or objects by sample."""
    for path in sorted((shared / "sfaira").glob("*.yaml")):
        if "_mock" in path.stem:
            continue  # the collection's own test templates
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        yield Record(
            dataset_id=_id(path.stem),
            data_type=SINGLE_CELL,
            metadata=_sfaira_metadata(document),
            data_file=_single_cell_data(shared),
        )


def scrnaseq_records(shared: Path) -> Iterator[Record]:
    """The matrices of the single-cell collection, grouped into studies by their folder."""
    for path in sorted((shared / "scrnaseq").glob("*/metadata-*.csv")):
        for row in _table(path, delimiter=","):
            _collection, study, version, name = row["RDataPath"].split("/")
            if name.startswith(_SCRNASEQ_TABLES):
                continue
            yield Record(
                dataset_id=_id(f"{study}-{version}-{Path(name).stem}"),
                data_type=SINGLE_CELL,
                metadata=_scrnaseq_metadata(row),
                data_file=_single_cell_data(shared),
                study_id=_id(study),
            )


def _sfaira_metadata(document: Mapping[str, Mapping[str, JsonValue]]) -> JsonObject:
    metadata: JsonObject = {}
    for section in _SFAIRA_SECTIONS:
        for name, value in document[section].items():
            if value is not None and not name.endswith(_SFAIRA_NOT_DATA):
                metadata[name] = value
    return metadata


def _scrnaseq_metadata(row: Mapping[str, str]) -> JsonObject:
    metadata: JsonObject = {
        "title": row["Title"],
        "description": row["Description"],
        "organism": row["Species"],
        "genome": row["Genome"],
        "source_url": row["SourceUrl"],
        "data_provider": row["DataProvider"],
    }
    if row["TaxonomyId"].isdigit():
        metadata["taxonomy_id"] = int(row["TaxonomyId"])
    return metadata


def _single_cell_data(shared: Path) -> Path:
    return shared / "h5ad" / "10x_pbmc68k_reduced.h5ad"


def _table(path: Path, *, delimiter: str) -> Iterator[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines, delimiter=delimiter)


def _id(text: str) -> str:
    """As the catalog's client proposes it: every other character becomes an underscore."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", text)
