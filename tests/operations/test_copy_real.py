"""Copies on a real server and object store: whole, by parts, and while things break."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.tap import tap
from polly_core.engine.session import open_session
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.run import ItemState
from polly_core.models.selection import Selection
from polly_core.operations.copy import CHANGED_THERE, CONFLICT
from polly_core.server.s3 import s3_client
from polly_core.server.seaweed_config import BUCKET
from polly_core.transport.s3client import in_threads
from tests.engine.child import carry_through
from tests.operations.realcopies import RealCopies, real_copies
from tests.support.atlas import RunningAtlas
from tests.support.objects import store_access
from tests.support.rehearsed import HOSTED, RehearsedAtlas

NUMBER = 6
APPLIED, UNCHANGED = ItemState.APPLIED, ItemState.UNCHANGED
MIB = 1024 * 1024


@pytest.fixture
def copies(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealCopies]:
    """Between two fresh atlases of the shared server."""
    with real_copies(atlas, tmp_path) as made:
        yield made


@pytest.fixture
def disturbed(rehearsed: RehearsedAtlas, tmp_path: Path) -> Iterator[RealCopies]:
    """The same on a server whose switches can be turned."""
    with real_copies(rehearsed, tmp_path) as made:
        yield made


def test_everything_comes_along_and_again_nothing_is_written(copies: RealCopies) -> None:
    copies.fill(NUMBER)
    summary = copies.copy(options={"verify": "full"})
    assert copies.counts(summary) == {APPLIED: NUMBER}
    assert summary.counts.verified == NUMBER
    assert copies.there == copies.here
    assert copies.counts(copies.copy("overwrite")) == {UNCHANGED: NUMBER}
    assert copies.histories == {1}
    (copies.folder / "ledger.db").unlink()
    assert copies.counts(copies.copy("overwrite")) == {UNCHANGED: NUMBER}


def test_copied_on_a_service_like_the_hosted_one(
    disturbed: RealCopies, rehearsed: RehearsedAtlas
) -> None:
    disturbed.fill(NUMBER)
    with rehearsed.told(HOSTED):
        summary = disturbed.copy()
        assert disturbed.counts(summary) == {APPLIED: NUMBER}
        assert summary.counts.verified == NUMBER
        assert disturbed.counts(disturbed.copy("overwrite")) == {UNCHANGED: NUMBER}
    assert disturbed.there == disturbed.here


def test_promotion_with_a_conflict(copies: RealCopies) -> None:
    copies.fill(3)
    copies.copy("promote")
    copies.edit("D000", DatasetChange(metadata={"here": 1}))
    for where in ("", copies.rig.atlas_id):
        copies.edit("D001", DatasetChange(metadata={"changed in": where}), atlas_id=where)
    copies.edit("D002", DatasetChange(data_type="X"), atlas_id=copies.rig.atlas_id)
    request = copies.request("promote")
    copies.rig.run(request)
    rows = {str(row.dataset_id): row for row in copies.rig.items(request)}
    assert rows["D000"].state is APPLIED
    assert (rows["D001"].state, rows["D001"].reasons[0]) == (ItemState.INVALID, CONFLICT)
    assert (rows["D002"].state, rows["D002"].reasons) == (ItemState.SKIPPED, (CHANGED_THERE,))
    there, here = copies.there, copies.here
    assert there["D000"] == here["D000"]
    assert there["D001"].metadata == {"changed in": copies.rig.atlas_id}
    assert there["D002"].data_type == "X"


def test_overwriting_takes_away_files_that_are_only_there(copies: RealCopies) -> None:
    copies.add("A", content=b"new" * 999, files={"linked.txt": b"new" * 999})
    copies.add(
        "A",
        content=b"old" * 999,
        files={"gone.txt": b"old" * 999, "free.txt": b"free"},
        atlas_id=copies.rig.atlas_id,
    )
    request = copies.request("overwrite", options={"verify": "full"})
    assert copies.counts(copies.rig.run(request)) == {APPLIED: 1}
    assert copies.there["A"] == copies.here["A"]
    (row,) = copies.rig.items(request)
    assert row.planned is not None
    assert {file.file_name for file in row.planned.files_before} == {"gone.txt", "free.txt"}
    assert row.planned.detach == ("free.txt",)
    assert "file 'gone.txt' goes with the data it is linked to" in row.planned.side_effects


def test_within_one_atlas_objects_are_shared(copies: RealCopies, tmp_path: Path) -> None:
    copies.fill(1)
    path = tmp_path / "rows.csv"
    path.write_text("dataset_id,from_dataset_id\nD000_copy,D000\n")
    here = RealCopies(copies.rig, copies.rig.atlas_id, tmp_path, copies.clients)
    here.fill(1)
    rows = Selection(manifest_uri=str(path))
    summary = here.copy(selection=rows, from_atlas=copies.rig.atlas_id)
    assert copies.counts(summary) == {APPLIED: 1}
    found = here.there
    assert found["D000_copy"] == found["D000"]
    reader = copies.client(copies.rig.atlas_id).reader
    records = [reader.dataset(DatasetId(name)) for name in ("D000", "D000_copy")]
    assert len({record.data_location for record in records}) == 1


def _parts_left(copies: RealCopies) -> list[str]:
    """Uploads of the destination that were begun and neither completed nor aborted."""
    client = s3_client(store_access(copies.server.data_dir))
    found = client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{copies.rig.atlas_id}/")
    return [one["Key"] for one in found.get("Uploads", [])]


@pytest.fixture
def by_parts() -> AbstractContextManager[object]:
    """Objects above 9 MiB go by parts of 8, as those above 256 MiB do otherwise."""
    return patch("polly_core.transport.uploads._COPIED_AT_ONCE", 9 * MIB)


def test_a_big_object_goes_by_parts_and_again_is_equal(
    copies: RealCopies,
    by_parts: AbstractContextManager[object],
) -> None:
    content = random.Random(1).randbytes(20 * MIB)
    copies.add("big", content=content, files={"big.txt": content[: 17 * MIB]})
    with by_parts:
        assert copies.counts(copies.copy(options={"verify": "full"})) == {APPLIED: 1}
        assert copies.counts(copies.copy("overwrite")) == {UNCHANGED: 1}
    reader = copies.client(copies.rig.atlas_id).reader
    record = reader.dataset(DatasetId("big"))
    (file,) = reader.files(record.dataset_id)
    for location, expected in (
        (record.data_location, content),
        (file.file_location, content[: 17 * MIB]),
    ):
        reader.download(location, copies.folder / "back")
        assert (copies.folder / "back").read_bytes() == expected
    assert _parts_left(copies) == []


def test_the_bytes_do_not_pass_through_the_client(
    copies: RealCopies, by_parts: AbstractContextManager[object]
) -> None:
    """Counted at its connections, to the service and to the store."""
    content = random.Random(2).randbytes(24 * MIB)
    copies.add("big", content=content, files={"big.txt": content[: 8 * MIB]})
    endpoint = store_access(copies.server.data_dir).endpoint_url
    with tap(copies.server.api_url) as api, tap(endpoint) as store, by_parts:
        there = copies.rig.surroundings().model_copy(
            update={"api_url": api.url, "s3_endpoint_url": store.url}
        )
        with open_session(copies.request(), there) as session:
            summary = carry_through(session, barrier=False)
    assert copies.counts(summary) == {APPLIED: 1}
    assert {name: one.data[0] for name, one in copies.there.items()} == {"big": 24 * MIB}
    # Two token requests, the listing, the records, and an answer for each part.
    assert 1_000 < store.received < 100_000
    assert 1_000 < api.received < 100_000
    assert store.sent + api.sent < 200_000


def test_the_object_store_dies_in_mid_copy(
    disturbed: RealCopies,
    rehearsed: RehearsedAtlas,
    by_parts: AbstractContextManager[object],
) -> None:
    """Killed while parts are copied: it comes back, and what was begun is done again."""
    disturbed.add("big", content=os.urandom(24 * MIB), files={"a.txt": b"a" * 5000})
    disturbed.fill(3)
    killed: list[int] = []

    def dying(work: Callable[[int], object], count: int, *, threads: int) -> list[object]:
        def part(number: int) -> object:
            if number == 2 and not killed:
                killed.append(number)
                rehearsed.kill_s3()
            return work(number)

        return in_threads(part, count, threads=threads)

    with by_parts, patch("polly_core.transport.uploads.in_threads", dying):
        summary = disturbed.copy()
    assert killed
    assert disturbed.counts(summary) == {APPLIED: 4}
    assert disturbed.there.keys() == disturbed.here.keys()
    # The tag of an object that was copied by parts is its own.
    there, here = disturbed.there, disturbed.here
    assert there["big"].data[0] == here["big"].data[0]
    assert all(there[name] == here[name] for name in here if name != "big")


def test_copy_credentials_that_end_are_renewed(
    disturbed: RealCopies, rehearsed: RehearsedAtlas
) -> None:
    disturbed.fill(NUMBER)
    rehearsed.tokens.seconds = 1.0
    before = rehearsed.tokens.issued
    try:
        summary = disturbed.copy(options={"concurrency": 1})
    finally:
        rehearsed.tokens.seconds = None
    assert disturbed.counts(summary) == {APPLIED: NUMBER}
    assert rehearsed.tokens.issued > before + 3, "the credentials did not end meanwhile"
    assert disturbed.there == disturbed.here
