"""Creation over a catalog in memory: what is planned, refused, written, left alone."""

from pathlib import Path

import pytest

from polly_core.models.catalog import DatasetId
from polly_core.testing.fake import FakeCatalog
from tests.operations.loading import Creating, gct_text


@pytest.fixture(params=[True, False], ids=["own", "hosted"])
def creating(request: pytest.FixtureRequest, tmp_path: Path) -> Creating:
    return Creating(tmp_path, FakeCatalog(enforce_versions=request.param))


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_a_row_becomes_a_dataset(creating: Creating, barrier: bool) -> None:
    files = creating.files
    files.gct("one.gct")
    files.file("report.html", "<html>")
    files.file("notes.txt", "notes")
    files.file("one.json", '{"organism": "human", "sample": {"tissue": "liver"}}')
    listed = '[{""path"": ""notes.txt""; ""tag"": ""why""; ""link"": true}]'.replace(";", ",")
    manifest = files.sheet(
        "dataset_id|data_type|data|metadata_file|metadata.sample.tissue|study_id|file.r.html|"
        "files:json\n"
        f'GSE1|Bulk|one.gct|one.json|lung|PMID1|report.html|"{listed}"\n'
    )
    ended = creating.create(manifest, barrier=barrier)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    record, metadata = creating.standing("GSE1")
    assert metadata == {"organism": "human", "sample": {"tissue": "lung"}}
    assert (record.data_type, record.data_format, record.study_id) == ("Bulk", "gct", "PMID1")
    assert creating.content(record.data_location) == gct_text().encode()
    html, notes = sorted(creating.fake.files(DatasetId("GSE1")), key=lambda file: file.file_format)
    assert (html.file_name, html.file_format, html.tag) == ("r.html", "html", None)
    assert (notes.file_name, notes.tag) == ("notes.txt", "why")
    assert notes.derived_from == record.data_location
    assert html.derived_from is None
    assert ended.rows["GSE1"].version_after == record.version_id
