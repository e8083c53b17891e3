"""``polly-bulk create`` as a user types it, and its flow."""

import json
from pathlib import Path

import pytest

from flows.bulk_create import BulkCreate, bulk_create
from flows.running import run_here
from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState
from tests.cli.test_commands import User
from tests.flows.conftest import Bench, bench
from tests.operations.loading import Loading
from tests.support.atlas import RunningAtlas
from tests.support.standing import connected

__all__ = ["bench"]


@pytest.fixture
def user(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    return User(atlas, atlas_id, tmp_path, capsys)


def _sheet(folder: Path) -> Path:
    loading = Loading(folder / "load")
    loading.gct("one.gct")
    loading.file("broken.gct", "#1.2\n")
    return loading.sheet("dataset_id|data\nGSE1|one.gct\nGSE2|broken.gct\n")


def test_planned_into_a_file_and_applied_as_it_is(
    user: User, atlas: RunningAtlas, tmp_path: Path
) -> None:
    sheet, plan = str(_sheet(tmp_path)), str(tmp_path / "plan.jsonl")
    given = ("--atlas", user.atlas_id, "--manifest", sheet, "--data-type", "Bulk")
    said = user.types("plan", "create", *given, "-o", plan, "--output", "json")
    assert said.code == 1, said.err
    assert user.types("create", *given).code == 2, "nobody can be asked"
    looked = user.types("create", *given, "--dry-run", "--output", "json")
    assert looked.code == looked.document()["exit_code"] == 1
    lines = [json.loads(line) for line in Path(plan).read_text().splitlines()]
    assert any("load.csv line 3" in json.dumps(line) for line in lines)
    client = connected(atlas, user.atlas_id)
    try:
        assert list(client.reader.datasets()) == []
    finally:
        client.close()


def test_the_flow_creates(bench: Bench, tmp_path: Path) -> None:
    given = {
        "atlas_id": bench.atlas_id,
        "manifest_uri": str(_sheet(tmp_path)),
        "data_type": "Bulk",
        "study_id": "S1",
        "run": {"budget": "5"},
    }
    summary = run_here(bulk_create, {"create": BulkCreate.model_validate(given)})
    assert summary.counts.by_state == {ItemState.APPLIED: 1, ItemState.INVALID: 1}
    client = connected(bench.atlas, bench.atlas_id)
    try:
        record = client.reader.dataset(DatasetId("GSE1"))
        assert (record.data_type, record.study_id) == ("Bulk", "S1")
    finally:
        client.close()
