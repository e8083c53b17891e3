"""Creation and updates of data on a real server: killed anywhere, with bad answers, big files."""

from pathlib import Path

import pytest

from polly_core.engine.assembling import NewFile, new_manifest
from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.server.rehearsal import Faults
from tests.engine.child import Job, run_child
from tests.engine.real import RealRig
from tests.operations.loading import Loading, gct_text
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas
from tests.support.standing import connected, ingestions

NUMBER = 20
BROKEN = "D0007"
CREATED = [f"D{n:04}" for n in range(NUMBER) if f"D{n:04}" != BROKEN]
ENDED = {ItemState.APPLIED: len(CREATED), ItemState.INVALID: 1}

# In the middle of the run, where there is one. An item has four steps.
MOMENTS = [
    (Point.FROZEN, 1, 0.0),
    (Point.OWNED, 1, 0.0),
    (Point.READ, 9, 0.0),
    (Point.PLANNED, 1, 0.0),
    (Point.INTENDED, 2, 0.0),
    (Point.SENDING, 13, 0.0),
    (Point.SENDING, 22, 0.004),
    (Point.SENDING, 31, 0.008),
    (Point.ANSWERED, 10, 0.0),
    (Point.ANSWERED, 27, 0.0),
    (Point.ANSWERED, 41, 0.0),
    (Point.RECORDED, 2, 0.0),
    (Point.VERIFYING, 6, 0.0),
    (Point.VERIFIED, 1, 0.0),
    (Point.REPORTED, 1, 0.0),
]


def _name(moment: tuple[Point, int, float]) -> str:
    point, passing, after = moment
    return f"{point}x{passing}" + (f"+{after * 1000:g}ms" if after else "")


def _manifest(folder: Path) -> Path:
    """Datasets with data, metadata, a study and a linked file; one is broken."""
    loading = Loading(folder / "load")
    rows: list[JsonObject] = []
    for number in range(NUMBER):
        name = f"D{number:04}"
        loading.gct(f"{name}.gct", rows=60, first=number)
        loading.file(f"{name}.txt", f"notes on {name}. " * 100)
        rows.append(
            {
                "dataset_id": name,
                "data_type": "Bulk RNAseq",
                "data": f"{name}.gct",
                "metadata": {"n": number, "sample_ids": ["s1", "s2"]},
                "study_id": f"S{number % 3}",
                "files": [{"path": f"{name}.txt", "tag": "notes", "link": True}],
            }
        )
    loading.file(f"{BROKEN}.gct", gct_text()[:-9])
    return loading.manifest(*rows)


def _request(
    rig: RealRig, manifest: Path, *, barrier: bool = False, **options: object
) -> RunRequest:
    request = rig.request(
        selection=Selection(manifest_uri=str(manifest)), change={}, barrier=barrier, **options
    )
    return request.model_copy(update={"operation": OperationName.CREATE})


def _right(rig: RealRig, request: RunRequest, summary: RunSummary, folder: Path) -> None:
    """Exactly one version of each, with its data and its file, and nothing else."""
    assert summary.counts.by_state == ENDED
    assert rig.states(request) == ENDED
    client = connected(rig.server, rig.atlas_id)
    try:
        records = {record.dataset_id: record for record in client.reader.datasets()}
        assert sorted(records) == CREATED
        for name, record in records.items():
            number = int(name[1:])
            assert client.reader.metadata(record) == {"n": number, "sample_ids": ["s1", "s2"]}
            assert record.study_id == f"S{number % 3}"
            assert len(client.reader.versions(name)) == 1
            found = folder / "found"
            client.reader.download(record.data_location, found)
            assert found.read_text() == gct_text(rows=60, first=number)
            (file,) = client.reader.files(name)
            assert (file.file_name, file.tag) == (f"{name}.txt", "notes")
            assert file.derived_from == record.data_location
            client.reader.download(file.file_location, found)
            assert found.read_text() == f"notes on {name}. " * 100
    finally:
        client.close()
    versions = {row.dataset_id: row.version_after for row in rig.items(request)}
    for name, record in records.items():
        assert versions[name] == record.version_id


def _each_ingested_once(rig: RealRig, request: RunRequest) -> None:
    recorded = ingestions(rig.server, rig.atlas_id, request.run_id)
    assert sorted(one.dataset_id for one in recorded) == CREATED


def _killed(rig: RealRig, request: RunRequest, moment: tuple[Point, int, float]) -> None:
    point, passing, after = moment
    code = run_child(Job(request, rig.surroundings(), at=point, passing=passing, after=after))
    assert code == -9, f"the child was not killed at {_name(moment)}, its exit code is {code}"


@pytest.mark.parametrize("moment", MOMENTS, ids=_name)
def test_killed_and_resumed(
    real: RealRig, tmp_path: Path, moment: tuple[Point, int, float]
) -> None:
    request = _request(real, _manifest(tmp_path), verify="full")
    _killed(real, request, moment)
    summary = real.take_up(request)
    _right(real, request, summary, tmp_path)
    _each_ingested_once(real, request)
    assert summary.counts.verified == len(CREATED)


@pytest.mark.parametrize("moment", [(Point.PLANNED, 1, 0.0), (Point.SENDING, 22, 0.004)], ids=_name)
def test_killed_behind_a_barrier_and_resumed(
    real: RealRig, tmp_path: Path, moment: tuple[Point, int, float]
) -> None:
    request = _request(real, _manifest(tmp_path), barrier=True)
    _killed(real, request, moment)
    _right(real, request, real.take_up(request), tmp_path)
    _each_ingested_once(real, request)


@pytest.mark.parametrize(
    "moment",
    [(Point.SENDING, 13, 0.0), (Point.SENDING, 31, 0.008), (Point.ANSWERED, 27, 0.0)],
    ids=_name,
)
def test_killed_and_resumed_without_preconditions(
    rehearsed: RehearsedAtlas, tmp_path: Path, moment: tuple[Point, int, float]
) -> None:
    rig = RealRig(rehearsed, tmp_path, read_timeout=2.0)
    request = _request(rig, _manifest(tmp_path))
    with rehearsed.told(HOSTED):
        _killed(rig, request, moment)
        summary = rig.take_up(request)
        _right(rig, request, summary, tmp_path)


@pytest.mark.parametrize("capabilities", [Faults().capabilities, ()], ids=["own", "hosted"])
def test_lost_answers_errors_and_refusals(
    rehearsed: RehearsedAtlas, tmp_path: Path, capabilities: tuple[str, ...]
) -> None:
    rig = RealRig(rehearsed, tmp_path, read_timeout=3.0)
    request = _request(rig, _manifest(tmp_path), budget={"value": NUMBER}, concurrency=8)
    faults = Faults(drop_rate=0.05, fail_rate=0.05, reject_above=150, capabilities=capabilities)
    with rehearsed.told(faults):
        summary = rig.run(request)
    _right(rig, request, summary, tmp_path)


def test_the_same_manifest_again_writes_nothing(real: RealRig, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    change: JsonObject = {"existing": "update-if-different"}
    first = _request(real, manifest).model_copy(update={"change": change})
    assert real.run(first).counts.by_state == ENDED
    again = _request(real, manifest).model_copy(update={"change": change})
    summary = real.run(again)
    assert summary.counts.by_state == {
        ItemState.UNCHANGED: len(CREATED), ItemState.INVALID: 1
    }  # fmt: skip
    _each_ingested_once(real, first)
    assert ingestions(real.server, real.atlas_id, again.run_id) == []


# -- files from elsewhere ---------------------------------------------------------------------


@pytest.fixture
def bucket(atlas: RunningAtlas, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of the operator's own in an S3 store that the environment has the keys of."""
    from polly_core.server.s3 import s3_client
    from polly_core.server.seaweed_config import BUCKET
    from tests.support.objects import store_access

    access = store_access(atlas.data_dir)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_key.get_secret_value())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", access.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    client = s3_client(access)
    client.put_object(Bucket=BUCKET, Key="mine/my data/one.gct", Body=gct_text().encode())
    manifest = "dataset_id,data_type,data\nGSE1,Bulk,../my data/one.gct\nGSE2,Bulk,gone.gct\n"
    client.put_object(Bucket=BUCKET, Key="mine/sheets/load.csv", Body=manifest.encode())
    return f"s3://{BUCKET}/mine"


def test_manifest_and_data_in_the_operators_store(
    real: RealRig, tmp_path: Path, bucket: str
) -> None:
    request = _request(real, Path("x")).model_copy(
        update={"selection": Selection(manifest_uri=f"{bucket}/sheets/load.csv")}
    )
    summary = real.run(request)
    rows = {str(row.dataset_id): row for row in real.items(request)}
    assert rows["GSE1"].state is ItemState.APPLIED, rows["GSE1"].reasons
    assert rows["GSE2"].state is ItemState.INVALID
    assert f"load.csv line 3: data: {bucket}/sheets/gone.gct" in rows["GSE2"].reasons[0]
    assert summary.counts.total == 2
    client = connected(real.server, real.atlas_id)
    try:
        record = client.reader.dataset(DatasetId("GSE1"))
        client.reader.download(record.data_location, tmp_path / "found")
        assert (tmp_path / "found").read_text() == gct_text()
        # An object of the atlas is referred to, not uploaded again.
        other = _request(
            real,
            Loading(tmp_path / "more").manifest(
                {"dataset_id": "GSE3", "data_type": "Bulk", "data": record.data_location}
            ),
        )
        assert real.run(other).exit_code == 0
        assert client.reader.dataset(DatasetId("GSE3")).data_location == record.data_location
    finally:
        client.close()


# -- objects of a program ---------------------------------------------------------------------


def test_objects_of_a_program(real: RealRig, tmp_path: Path) -> None:
    import anndata
    import numpy as np
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

    from polly_core.payloads.gct import read_gct
    from polly_core.payloads.h5ad import read_h5ad

    values = np.array([[1 / 3, 2.0], [np.pi, 1e-17]])
    matrix = GCToo(pd.DataFrame(values, index=["g1", "g2"], columns=["s1", "s2"]))
    cells = anndata.AnnData(
        values, obs=pd.DataFrame(index=["c1", "c2"]), var=pd.DataFrame(index=["g1", "g2"])
    )
    notes = tmp_path / "notes.txt"
    notes.write_text("notes")
    odd: JsonValue = "<delete>"
    with new_manifest(tmp_path / "new") as manifest:
        manifest.add(
            "GCT", matrix, data_type="Bulk", metadata={"odd": odd, "sample_ids": ["s2", "s1"]},
            files=[NewFile(path=str(notes), tag="why")],
        )  # fmt: skip
        manifest.add("H5AD", cells, data_type="Single cell", metadata={"sample_ids": ["x"]})
    request = _request(real, manifest.path)
    summary = real.run(request)
    assert summary.exit_code == 0, [row.reasons for row in real.items(request)]
    client = connected(real.server, real.atlas_id)
    try:
        record = client.reader.dataset(DatasetId("GCT"))
        assert client.reader.metadata(record)["odd"] == "<delete>"
        client.reader.download(record.data_location, tmp_path / "a.gct")
        found = read_gct(tmp_path / "a.gct").data_df.to_numpy()
        assert (found == values).all()
        other = client.reader.dataset(DatasetId("H5AD"))
        client.reader.download(other.data_location, tmp_path / "a.h5ad")
        assert (np.asarray(read_h5ad(tmp_path / "a.h5ad").X) == values).all()
        assert [file.tag for file in client.reader.files(DatasetId("GCT"))] == ["why"]
        _updated_by_object(real, tmp_path, cells)
        replaced = client.reader.dataset(DatasetId("GCT"))
        assert (replaced.data_format, replaced.data_type) == ("h5ad", "Bulk")
    finally:
        client.close()


def _updated_by_object(real: RealRig, folder: Path, cells: object) -> None:
    with new_manifest(folder / "edit") as manifest:
        manifest.add("GCT", cells, metadata={"sample_ids": ["c1", "c2"]})
    request = real.request(change={}, selection=Selection(manifest_uri=str(manifest.path)))
    assert real.run(request).exit_code == 0, [row.reasons for row in real.items(request)]
