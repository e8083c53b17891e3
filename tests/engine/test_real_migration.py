"""The whole migration of every real record, through a real server, twice."""

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from polly_core.catalog.connect import Connection, connect
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import open_session
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.run import ItemState, RunState, RunSummary
from tests.planning.realdata import FOLDER, load
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill, version_counts

CHANGE = Path(__file__).parents[1] / "planning" / "changes" / "whole_migration.yaml"


@pytest.mark.timeout(600)
@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real input data are not there: {FOLDER}")
def test_every_real_record_is_migrated_once(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path
) -> None:
    records = load()
    fill(atlas, atlas_id, {one.record.dataset_id: one.metadata for one in records})
    surroundings = Surroundings(
        api_url=atlas.api_url,
        api_key=SecretStr(atlas.api_key),
        ledger_url=f"sqlite:///{tmp_path / 'ledger.db'}",
        home=tmp_path,
        allowed_modules=("polly_core.planning.functions",),
    )
    first = _run(surroundings, atlas_id)
    assert first.state is RunState.FINISHED
    written = first.counts.of(ItemState.APPLIED)
    assert written + first.counts.of(ItemState.UNCHANGED) == len(records) == first.counts.total
    versions = version_counts(atlas, atlas_id)
    assert sorted(versions.values()) == [1] * (len(records) - written) + [2] * written

    second = _run(surroundings, atlas_id)
    assert second.counts.by_state == {ItemState.UNCHANGED: len(records)}
    assert version_counts(atlas, atlas_id) == versions

    connection = Connection(
        api_url=atlas.api_url, api_key=SecretStr(atlas.api_key), atlas_id=AtlasId(atlas_id)
    )
    connected = connect(connection)
    try:
        after = [connected.reader.metadata(record) for record in connected.reader.datasets()]
    finally:
        connected.close()
    assert not any("species" in metadata for metadata in after)
    assert sum("tissue" in metadata for metadata in after) >= 801
    assert sum("quality" in metadata for metadata in after) == 303
    spelt = {name for one in after for name in _names(one.get("organism"))}
    assert not {name for name in spelt if name.lower() == "homo sapiens"} - {"Homo sapiens"}


def _run(surroundings: Surroundings, atlas_id: str) -> RunSummary:
    request = RunRequest(
        run_id=RunId(str(uuid4())), atlas_id=AtlasId(atlas_id), change_uri=str(CHANGE)
    )
    with open_session(request, surroundings) as session:
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        return session.finish()


def _names(organism: object) -> list[str]:
    found = organism if isinstance(organism, list) else [organism]
    return [name for name in found if isinstance(name, str)]
