"""The real h5ad of the demo: where it comes from, and the datasets cut out of it."""

from pathlib import Path

import pytest

from cli.demo_h5ad import BROAD, FINE, h5ad_file, slice_records
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.payloads.inspection import inspect

H5AD = Path(__file__).resolve().parents[3] / "shared" / "data" / "h5ad" / "10x_pbmc68k_reduced.h5ad"

needs_h5ad = pytest.mark.skipif(not H5AD.is_file(), reason=f"no real h5ad at {H5AD}")


@needs_h5ad
def test_slices_hold_the_cells_their_metadata_counts(tmp_path: Path) -> None:
    records = list(slice_records(H5AD, tmp_path, BROAD))
    assert len({record.dataset_id.lower() for record in records}) == len(records) == 43
    cells = {record.dataset_id: record.metadata["number_cells"] for record in records}
    by_well = [number for dataset_id, number in cells.items() if "_well-" in dataset_id]
    assert sum(int(str(number)) for number in by_well) == 700
    first = inspect(records[0].data_file)
    assert first.problems == ()
    assert first.shape == (records[0].metadata["number_cells"], 765)


def test_without_more_data_there_are_groupings_for_300_datasets() -> None:
    assert set(BROAD) < set(FINE)
    assert len(FINE) == 6


@needs_h5ad
def test_a_given_file_is_used_where_it_is(tmp_path: Path) -> None:
    assert h5ad_file(tmp_path, given=H5AD) == H5AD
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    other = tmp_path / "other.h5ad"
    other.write_bytes(b"something else")
    with pytest.raises(InvalidInput, match=r"expected SHA-256 e71d41e7.*found [0-9a-f]{64}"):
        h5ad_file(tmp_path, given=other)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file .*missing.h5ad"):
        h5ad_file(tmp_path, given=tmp_path / "missing.h5ad")


def test_without_an_index_the_message_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotProceed, match=r"could not be fetched.*--h5ad"):
        h5ad_file(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
