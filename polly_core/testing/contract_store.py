"""What every object store of a catalog does; one suite for the fake and the real one."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from polly_core.catalog.ports import ObjectKey
from polly_core.errors import InvalidInput, NotFound, ObjectMissing, StorageDenied
from polly_core.models.catalog import AtlasId, DatasetId
from polly_core.testing.place import ONE, STAMP, TWO, Local, Place

DATA = ObjectKey(ONE, extension=".gct")
BIG = b"0123456789abcdef" * 100
THREADS = 64


class StoreContract:
    """The suite. Every test begins with an empty atlas."""

    def test_what_goes_up_comes_down(self, place: Place, local: Local, tmp_path: Path) -> None:
        location = place.store.upload(local.file(BIG), DATA)
        found = place.reader.stat(location)
        assert (found.location, found.size) == (location, len(BIG))
        assert found.etag == _tag(BIG)
        target = tmp_path / "new" / "folder" / "file"
        place.reader.download(location, target)
        assert target.read_bytes() == BIG

    def test_anew_it_is_another_object(self, place: Place, local: Local) -> None:
        first = place.store.upload(local.file(BIG), DATA)
        assert place.store.upload(local.file(BIG), DATA) == first
        other = place.store.upload(local.file(BIG), DATA, anew=True)
        assert other != first
        assert place.reader.stat(other).etag == place.reader.stat(first).etag

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            (DATA, "GSE1/GSE1.gct"),
            (ObjectKey(ONE, extension=".h5ad.gz"), "GSE1/GSE1.h5ad.gz"),
            (ObjectKey(ONE), "GSE1/GSE1"),
            (ObjectKey(ONE, file_name="a.csv"), "GSE1/.sfiles/a.csv"),
            (ObjectKey(ONE, file_name="a#1 ?ä%25+&.csv"), "GSE1/.sfiles/a#1 ?ä%25+&.csv"),
            (ObjectKey(ONE, file_name="no_dot"), "GSE1/.sfiles/no_dot"),
        ],
    )
    def test_objects_are_where_they_belong(
        self, place: Place, local: Local, tmp_path: Path, key: ObjectKey, path: str
    ) -> None:
        location = place.store.upload(local.file(b"x"), key)
        bare, _, version = location.partition("?")
        assert bare.endswith(f"/v2/{quote(path)}")
        assert version.startswith("versionId=")
        assert place.reader.stat(bare).location == location
        place.reader.download(location, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"x"

    @pytest.mark.parametrize(
        "key",
        [
            ObjectKey(DatasetId("../x"), extension=".gct"),
            ObjectKey(DatasetId("a/b"), file_name="a.csv"),
            ObjectKey(DatasetId("")),
            ObjectKey(ONE, file_name="../../x"),
            ObjectKey(ONE, file_name=".."),
            ObjectKey(ONE, file_name="a\0b"),
            ObjectKey(ONE, extension="gct"),
            ObjectKey(ONE, extension="./../x"),
        ],
    )
    def test_a_key_that_leads_elsewhere_is_refused(
        self, place: Place, local: Local, key: ObjectKey
    ) -> None:
        location = place.store.upload(local.file(b"x"), DATA)
        with pytest.raises(InvalidInput):
            place.store.upload(local.file(b"y"), key)
        with pytest.raises(InvalidInput):
            place.store.copy(location, key, atlas_id=place.atlas_id)

    def test_equal_content_is_not_sent_again(self, place: Place, local: Local) -> None:
        first = place.store.upload(local.file(BIG), DATA)
        assert place.store.upload(local.file(BIG), DATA) == first
        other = place.store.upload(local.file(BIG + b"!"), DATA)
        assert other != first
        assert place.reader.stat(first).size == len(BIG)
        assert place.reader.stat(other.partition("?")[0]).location == other

    def test_an_empty_file_is_an_object(self, place: Place, local: Local) -> None:
        location = place.store.upload(local.file(b""), DATA)
        assert place.reader.stat(location).size == 0

    def test_a_local_file_that_is_not_there_is_named(self, place: Place, tmp_path: Path) -> None:
        for path in (tmp_path / "absent.gct", tmp_path):
            with pytest.raises(InvalidInput, match=str(path)):
                place.store.upload(path, DATA)

    def test_objects_that_are_gone_are_missing(
        self, place: Place, local: Local, tmp_path: Path
    ) -> None:
        location = place.store.upload(local.file(BIG), DATA)
        kept = tmp_path / "kept"
        kept.write_bytes(b"precious")
        bare = location.partition("?")[0]
        version = location.partition("=")[2]
        for lost in (
            bare.replace("GSE1.gct", "absent.gct"),
            f"{bare.replace('GSE1.gct', 'absent.gct')}?versionId={version}",
            f"{bare}?versionId={version[::-1]}",
            f"{bare}?versionId=no-version",
        ):
            with pytest.raises(ObjectMissing):
                place.reader.stat(lost)
            with pytest.raises(ObjectMissing):
                place.reader.download(lost, kept)
            with pytest.raises(ObjectMissing):
                place.store.copy(lost, DATA, atlas_id=place.atlas_id)
        assert kept.read_bytes() == b"precious"

    @pytest.mark.parametrize("location", ["", "https://x/y", "s3://bucket", "s3://b/k?x=1"])
    def test_what_is_no_location_is_refused(
        self, place: Place, tmp_path: Path, location: str
    ) -> None:
        with pytest.raises(InvalidInput):
            place.reader.holds(location)
        with pytest.raises(InvalidInput):
            place.reader.stat(location)
        with pytest.raises(InvalidInput):
            place.reader.download(location, tmp_path / "x")
        with pytest.raises(InvalidInput):
            place.store.copy(location, DATA, atlas_id=place.atlas_id)

    def test_whose_a_location_is_is_told_whether_it_is_there_or_not(
        self, place: Place, local: Local
    ) -> None:
        other = place.neighbour()
        ours = place.store.upload(local.file(b"x"), DATA)
        theirs = other.store.upload(local.file(b"x"), DATA)
        for location in (ours, ours.replace("GSE1.gct", "absent.gct")):
            assert place.reader.holds(location)
            assert not other.reader.holds(location)
        assert other.reader.holds(theirs)
        assert not place.reader.holds(theirs)
        assert not place.reader.holds("s3://another-bucket/key")

    def test_objects_of_other_atlases_are_not_read(
        self, place: Place, local: Local, tmp_path: Path
    ) -> None:
        other = place.neighbour()
        location = other.store.upload(local.file(BIG), DATA)
        with pytest.raises(StorageDenied):
            place.reader.stat(location)
        with pytest.raises(StorageDenied):
            place.reader.download(location, tmp_path / "x")
        with pytest.raises(StorageDenied):
            place.store.copy(location, DATA, atlas_id=place.atlas_id)
        assert not (tmp_path / "x").exists()

    def test_a_copy_holds_the_version_that_was_named(
        self, place: Place, local: Local, tmp_path: Path
    ) -> None:
        other = place.neighbour()
        location = other.store.upload(local.file(BIG), DATA)
        other.store.upload(local.file(b"newer"), DATA)
        copied = place.store.copy(
            location, ObjectKey(TWO, extension=".gct"), atlas_id=other.atlas_id
        )
        assert copied.partition("?")[0].endswith("/v2/GSE2/GSE2.gct")
        place.reader.download(copied, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == BIG
        new = local.new(place).model_copy(update={"data_s3_uri": copied})
        assert place.writer.create(TWO, new, STAMP).data_location == copied

    def test_equal_content_is_not_copied_again(self, place: Place, local: Local) -> None:
        other = place.neighbour()
        location = other.store.upload(local.file(BIG), DATA)
        first = place.store.copy(location, DATA, atlas_id=other.atlas_id)
        assert place.store.copy(location, DATA, atlas_id=other.atlas_id) == first
        newer = other.store.upload(local.file(BIG + b"!"), DATA)
        assert place.store.copy(newer, DATA, atlas_id=other.atlas_id) != first

    def test_a_copy_within_the_atlas(self, place: Place, local: Local) -> None:
        location = place.store.upload(local.file(BIG), DATA)
        key = ObjectKey(TWO, file_name="copied.gct")
        copied = place.store.copy(location, key, atlas_id=place.atlas_id)
        assert place.reader.stat(copied).etag == place.reader.stat(location).etag
        assert copied != location

    def test_an_atlas_that_does_not_exist_is_said(self, place: Place, local: Local) -> None:
        location = place.store.upload(local.file(BIG), DATA)
        absent = AtlasId("no-such-atlas")
        with pytest.raises(NotFound):
            place.store.copy(location, DATA, atlas_id=absent)
        with pytest.raises(NotFound):
            place.ports.beside(absent).dataset(ONE)

    def test_another_atlas_is_read_beside(self, place: Place, tmp_path: Path) -> None:
        other = place.neighbour()
        theirs = other.add("GSE2", {"n": 2})
        place.add("GSE1", {"n": 1})
        beside = place.ports.beside(other.atlas_id)
        assert [record.dataset_id for record in beside.datasets()] == ["GSE2"]
        assert beside.dataset(TWO) == theirs
        assert beside.metadata(theirs) == {"n": 2}
        assert beside.stat(theirs.data_location).location == theirs.data_location
        beside.download(theirs.data_location, tmp_path / "theirs")
        assert beside.catalog.atlas_id == other.atlas_id
        assert beside.catalog.api_url == place.reader.catalog.api_url
        with pytest.raises(NotFound):
            beside.dataset(ONE)

    def test_many_threads_at_once(self, place: Place, tmp_path: Path) -> None:
        other = place.neighbour()

        def carry(number: int) -> tuple[bytes, str]:
            content = f"content of {number}".encode() * 100
            path = tmp_path / f"{number}.csv"
            path.write_bytes(content)
            key = ObjectKey(DatasetId(f"D{number}"), extension=".csv")
            location = other.store.upload(path, key)
            return content, place.store.copy(location, key, atlas_id=other.atlas_id)

        with ThreadPoolExecutor(THREADS) as pool:
            carried = list(pool.map(carry, range(THREADS)))
        assert len({location for _, location in carried}) == THREADS
        for content, location in carried:
            assert place.reader.stat(location).etag == _tag(content)


def _tag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
