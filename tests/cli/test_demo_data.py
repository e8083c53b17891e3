"""The real records of the demo: how many, of what, with which dirt."""

import re
from collections import Counter
from pathlib import Path

import pytest

from cli.demo_data import (
    BULK_RNASEQ,
    PROTEOMICS,
    SINGLE_CELL,
    Record,
    load_records,
    proteomics_records,
    rnaseq_records,
)
from polly_core.errors import InvalidInput
from polly_core.planning.functions import repair_encoding

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data in {SHARED}")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(load_records(SHARED))


@needs_shared
def test_all_records_are_there_under_ids_a_catalog_takes(records: list[Record]) -> None:
    assert Counter(record.data_type for record in records) == {
        BULK_RNASEQ: 2041,
        PROTEOMICS: 301,
        SINGLE_CELL: 236,
    }
    ids = {record.dataset_id.lower() for record in records}
    assert len(ids) == len(records)
    assert all(re.fullmatch("[0-9A-Za-z_-]{1,255}", record.dataset_id) for record in records)


@needs_shared
def test_few_data_files_serve_all_records(records: list[Record]) -> None:
    files = {record.data_file for record in records}
    assert len(files) == 4
    assert all(path.is_file() for path in files)


@needs_shared
def test_the_dirt_is_left_in() -> None:
    studies = list(rnaseq_records(SHARED))
    abstracts = [str(record.metadata.get("abstract", "N/A")) for record in studies]
    assert abstracts.count("N/A") == 31
    assert sum(repair_encoding(text) != text for text in abstracts) == 347
    assert {record.metadata["organism"] for record in studies} == {"human"}
    spellings = {record.metadata.get("organism") for record in proteomics_records(SHARED)}
    assert {"Homo sapiens", "homo sapiens", "Homo Sapiens"} <= spellings


@needs_shared
def test_sample_tables_are_attachments() -> None:
    attached = [path for record in proteomics_records(SHARED) for path in record.attachments]
    assert len(attached) == len(set(attached)) == 171


def test_a_folder_without_the_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"no real data in {tmp_path}"):
        list(load_records(tmp_path))
