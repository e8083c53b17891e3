"""The real records of ../shared/data as datasets, for tests that migrate them."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.resources import parse_document
from tests.planning.support import record

FOLDER = Path(__file__).parents[3] / "shared" / "data"
BULK, PROTEOMICS, SINGLE_CELL = "Bulk RNAseq", "Proteomics", "Single cell RNAseq"


@dataclass(frozen=True)
class Dataset:
    record: DatasetRecord
    metadata: JsonObject


def load() -> list[Dataset]:
    """Every record, ascending by data type and source."""
    made = [*_bulk(), *_proteomics(), *_sfaira(), *_scrnaseq()]
    return [
        Dataset(record(f"DS{number}", data_type=data_type), metadata)
        for number, (data_type, metadata) in enumerate(made)
    ]


def _rows(path: Path, dialect: str) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle, dialect=dialect)


def _bulk() -> Iterator[tuple[str, JsonObject]]:
    for row in _rows(FOLDER / "recount2_studies.tsv", "excel-tab"):
        metadata: JsonObject = {
            "accession": row["project"],
            "species": row["species"],
            "number_samples": int(row["number_samples"]),
        }
        if row["abstract"]:
            metadata["abstract"] = row["abstract"]
        yield BULK, metadata


def _proteomics() -> Iterator[tuple[str, JsonObject]]:
    for row in _rows(FOLDER / "sdrf_datasets.tsv", "excel-tab"):
        yield PROTEOMICS, {**row, "rows": int(row["rows"]), "columns": int(row["columns"])}


def _sfaira() -> Iterator[tuple[str, JsonObject]]:
    for path in sorted((FOLDER / "sfaira").glob("*.yaml")):
        document = parse_document(path.read_bytes(), path.name)
        assert isinstance(document, dict)
        merged: JsonObject = {"accession": path.stem}
        for part in ("dataset_wise", "dataset_or_observation_wise"):
            section = document.get(part)
            if isinstance(section, dict):
                merged.update({key: value for key, value in section.items() if value is not None})
        yield SINGLE_CELL, merged


def _scrnaseq() -> Iterator[tuple[str, JsonObject]]:
    for path in sorted((FOLDER / "scrnaseq").glob("**/metadata-*.csv")):
        for row in _rows(path, "excel"):
            yield (
                SINGLE_CELL,
                {
                    "accession": row["RDataPath"],
                    "title": row["Title"],
                    "abstract": row["Description"],
                    "species": row["Species"],
                    "taxonomy": row["TaxonomyId"],
                },
            )
