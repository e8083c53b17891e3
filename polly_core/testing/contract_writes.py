"""What every write does; one suite for the fake and the real catalog."""

from collections.abc import Callable

import pytest

from polly_core.catalog.ports import Writer
from polly_core.errors import BadRequest, Conflict, InvalidInput, NotFound, Unprocessable
from polly_core.models.catalog import (
    DatasetChange,
    DatasetId,
    NewFile,
    RunId,
    StudyId,
    VersionId,
    WriteStamp,
)
from polly_core.testing.place import NONE, ONE, RUN, STAMP, TWO, Local, Place

UGLY = "a#1 ?ä%25+&.csv"
StampedWrite = Callable[[Writer, DatasetId, WriteStamp], object]


def _update(writer: Writer, dataset_id: DatasetId, stamp: WriteStamp) -> object:
    return writer.update(dataset_id, DatasetChange(metadata={"n": 9}), stamp)


def _trigger(writer: Writer, dataset_id: DatasetId, stamp: WriteStamp) -> None:
    writer.trigger(dataset_id, stamp)


def _delete(writer: Writer, dataset_id: DatasetId, stamp: WriteStamp) -> None:
    writer.delete(dataset_id, stamp)


STAMPED = pytest.mark.parametrize("write", [_update, _trigger, _delete])


class WritesContract:
    """The suite. Every test begins with an empty atlas."""

    def test_a_created_dataset_is_what_was_sent(self, place: Place, local: Local) -> None:
        new = local.new(place, study_id="S1")
        made = place.writer.create(ONE, new, STAMP)
        assert place.reader.dataset(ONE) == made
        assert (made.dataset_id, made.data_type, made.data_format, made.study_id) == (
            "GSE1",
            "Proteomics",
            "gct",
            "S1",
        )
        assert made.data_location == new.data_s3_uri
        assert place.reader.metadata(made) == {"n": 1}
        assert [v.version_id for v in place.reader.versions(ONE)] == [made.version_id]
        assert place.reader.study(StudyId("S1")) == ["GSE1"]

    def test_an_id_that_lives_is_not_created(self, place: Place, local: Local) -> None:
        before = place.writer.create(ONE, local.new(place), STAMP)
        with pytest.raises(Conflict) as caught:
            place.writer.create(ONE, local.new(place, n=2), STAMP)
        assert caught.value.outcome_known
        assert place.reader.dataset(ONE) == before
        assert len(place.reader.versions(ONE)) == 1

    def test_a_deleted_id_gets_a_new_life(self, place: Place, local: Local) -> None:
        first = place.writer.create(ONE, local.new(place, study_id="S1"), STAMP)
        place.attach("GSE1", "a.csv")
        place.writer.delete(ONE, STAMP)
        second = place.writer.create(ONE, local.new(place, n=2), STAMP)
        assert second.study_id is None
        assert place.reader.files(ONE) == []
        assert [v.version_id for v in place.reader.versions(ONE)] == [second.version_id]
        both = place.reader.versions(ONE, include_deleted=True)
        assert [v.version_id for v in both] == [second.version_id, first.version_id]

    def test_data_that_is_not_in_the_atlas_is_refused(self, place: Place, local: Local) -> None:
        elsewhere = local.data(place.neighbour())
        new = local.new(place)
        absent = new.data_s3_uri.replace("GSE1.gct", "absent.gct")
        for location in (elsewhere, absent):
            with pytest.raises(Unprocessable):
                place.writer.create(ONE, new.model_copy(update={"data_s3_uri": location}), STAMP)
        with pytest.raises(NotFound):
            place.reader.versions(ONE, include_deleted=True)
        before = place.writer.create(ONE, new, STAMP)
        with pytest.raises(Unprocessable):
            place.writer.update(ONE, DatasetChange(data_s3_uri=absent), STAMP)
        assert place.reader.dataset(ONE) == before

    def test_locations_are_pinned_to_the_version_of_that_moment(
        self, place: Place, local: Local
    ) -> None:
        new = local.new(place)
        bare = new.data_s3_uri.partition("?")[0]
        made = place.writer.create(ONE, new.model_copy(update={"data_s3_uri": bare}), STAMP)
        assert made.data_location == new.data_s3_uri
        side = local.side(place, "a.csv")
        file = _new_file("a.csv", side.partition("?")[0])
        assert place.writer.attach(ONE, file).file_location == side
        local.data(place, "newer")
        assert place.reader.dataset(ONE).data_location == new.data_s3_uri

    @pytest.mark.parametrize("dataset_id", ["a b", "a.b", "ä", "x" * 256])
    def test_an_id_of_other_characters_is_refused(
        self, place: Place, local: Local, dataset_id: str
    ) -> None:
        with pytest.raises(BadRequest):
            place.writer.create(DatasetId(dataset_id), local.new(place), STAMP)
        assert list(place.reader.datasets()) == []

    def test_a_dataset_with_metadata_that_is_no_json_is_never_sent(
        self, place: Place, local: Local
    ) -> None:
        new = local.new(place).model_copy(update={"metadata": {"n": float("inf")}})
        with pytest.raises(InvalidInput, match="JSON"):
            place.writer.create(ONE, new, STAMP)
        with pytest.raises(NotFound):
            place.reader.dataset(ONE)

    def test_an_ingestion_changes_nothing(self, place: Place) -> None:
        before = place.add("GSE1", {"n": 1}, study_id="S1")
        place.writer.trigger(ONE, STAMP)
        assert place.reader.dataset(ONE) == before
        assert len(place.reader.versions(ONE)) == 1

    def test_a_deletion_takes_everything_but_the_history(self, place: Place) -> None:
        record = place.add("GSE1", {"n": 1}, study_id="S1")
        place.attach("GSE1", "a.csv")
        place.writer.delete(ONE, STAMP)
        for read in (place.reader.dataset, place.reader.files, place.reader.versions):
            with pytest.raises(NotFound):
                read(ONE)
        with pytest.raises(NotFound):
            place.reader.study(StudyId("S1"))
        (old,) = place.reader.versions(ONE, include_deleted=True)
        assert old.version_id == record.version_id
        assert place.reader.metadata(old) == {"n": 1}
        assert place.reader.stat(record.data_location).location == record.data_location

    @STAMPED
    def test_what_does_not_live_is_not_written(self, place: Place, write: StampedWrite) -> None:
        place.add("GSE1")
        place.remove("GSE1")
        for dataset_id in (ONE, NONE):
            with pytest.raises(NotFound) as caught:
                write(place.writer, dataset_id, STAMP)
            assert caught.value.outcome_known

    @STAMPED
    def test_every_stamped_write_states_the_version_it_expects(
        self, place: Place, write: StampedWrite
    ) -> None:
        old = place.add("GSE1", {"n": 1})
        current = place.writer.update(ONE, DatasetChange(metadata={"n": 2}), STAMP)
        stale = STAMP.model_copy(update={"expected_version_id": old.version_id})
        if place.reader.capabilities.expects_version:
            with pytest.raises(Conflict):
                write(place.writer, ONE, stale)
            assert place.reader.dataset(ONE) == current
            write(place.writer, ONE, _expecting(current.version_id))
        else:
            write(place.writer, ONE, stale)

    @STAMPED
    def test_run_priority_and_flags_of_every_stamped_write_are_recorded(
        self, place: Place, write: StampedWrite
    ) -> None:
        place.add("GSE1")
        flags = {"file_metadata": True, "row_metadata": False}
        write(place.writer, ONE, STAMP.model_copy(update={"flags": flags, "priority": "high"}))
        found = [entry.params for entry in place.reader.ingestions(RUN)]
        if place.reader.capabilities.lists_ingestions:
            assert found == [{"ingestion_run_id": RUN, "priority": "high", **flags}]
        else:
            assert found == []

    def test_every_stamped_write_is_attributed_to_its_run(self, place: Place, local: Local) -> None:
        made = place.writer.create(ONE, local.new(place), STAMP)
        changed = place.writer.update(ONE, DatasetChange(metadata={"n": 2}), STAMP)
        place.writer.trigger(ONE, STAMP)
        place.writer.delete(ONE, STAMP)
        place.add("GSE2")
        place.writer.trigger(TWO, WriteStamp(run_id=RunId("another")))
        found = [(i.dataset_id, i.version_id) for i in place.reader.ingestions(RUN)]
        versions = (made.version_id, changed.version_id, changed.version_id, None)
        if place.reader.capabilities.lists_ingestions:
            assert found == [("GSE1", version) for version in versions]
        else:
            assert found == []

    def test_a_wrong_priority_is_refused(self, place: Place) -> None:
        before = place.add("GSE1")
        with pytest.raises(BadRequest):
            place.writer.trigger(ONE, STAMP.model_copy(update={"priority": "urgent"}))
        assert place.reader.dataset(ONE) == before

    def test_data_of_the_same_location_keeps_linked_files(self, place: Place, local: Local) -> None:
        made = place.writer.create(ONE, local.new(place), STAMP)
        place.attach("GSE1", "linked.csv", linked=True)
        again = local.data(place, "data 1")
        assert again == made.data_location
        place.writer.update(ONE, DatasetChange(data_s3_uri=again), STAMP)
        assert [file.file_name for file in place.reader.files(ONE)] == ["linked.csv"]

    def test_an_attached_file_is_what_was_sent(self, place: Place, local: Local) -> None:
        record = place.add("GSE1")
        location = local.side(place, UGLY)
        sent = _new_file(UGLY, location, tag="t", source_version_id=record.version_id)
        made = place.writer.attach(ONE, sent)
        assert place.reader.files(ONE) == [made]
        assert (made.file_name, made.file_format, made.tag) == (UGLY, "csv", "t")
        assert made.file_location == location
        assert made.derived_from == record.data_location
        assert place.reader.dataset(ONE) == record

    def test_a_file_of_the_same_name_is_replaced_whole(self, place: Place, local: Local) -> None:
        place.add("GSE1")
        place.attach("GSE1", "a.csv", tag="old", linked=True)
        location = local.side(place, "a.csv", "newer")
        made = place.writer.attach(ONE, _new_file("a.csv", location))
        assert (made.tag, made.derived_from) == (None, None)
        assert place.reader.files(ONE) == [made]

    def test_a_link_names_a_version_with_the_current_data(self, place: Place, local: Local) -> None:
        first = place.writer.create(ONE, local.new(place), STAMP)
        place.writer.update(ONE, DatasetChange(metadata={"n": 2}), STAMP)
        location = local.side(place, "a.csv")
        linked = _new_file("a.csv", location, source_version_id=first.version_id)
        assert place.writer.attach(ONE, linked).derived_from == first.data_location
        place.writer.update(ONE, DatasetChange(data_s3_uri=local.data(place, "other")), STAMP)
        with pytest.raises(Conflict):
            place.writer.attach(ONE, linked)
        unknown = VersionId("00000000-0000-4000-8000-00000000dead")
        with pytest.raises(Unprocessable):
            place.writer.attach(ONE, _new_file("a.csv", location, source_version_id=unknown))
        assert place.reader.files(ONE) == []

    def test_a_file_that_is_not_in_the_atlas_is_not_attached(
        self, place: Place, local: Local
    ) -> None:
        place.add("GSE1")
        elsewhere = local.side(place.neighbour(), "a.csv")
        absent = local.side(place, "a.csv").replace("a.csv", "absent.csv")
        for location in (elsewhere, absent):
            with pytest.raises(Unprocessable):
                place.writer.attach(ONE, _new_file("a.csv", location))
        assert place.reader.files(ONE) == []

    @pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "x" * 256])
    def test_a_name_that_cannot_be_is_refused(self, place: Place, local: Local, name: str) -> None:
        place.add("GSE1")
        with pytest.raises(BadRequest):
            place.writer.attach(ONE, _new_file(name, local.side(place, "a.csv")))
        assert place.reader.files(ONE) == []

    def test_a_detached_file_is_gone(self, place: Place) -> None:
        record = place.add("GSE1")
        location = place.attach("GSE1", UGLY).file_location
        kept = place.attach("GSE1", "kept.csv")
        place.writer.detach(ONE, UGLY)
        assert place.reader.files(ONE) == [kept]
        assert place.reader.dataset(ONE) == record
        assert place.reader.stat(location).location == location
        with pytest.raises(NotFound):
            place.writer.detach(ONE, UGLY)

    def test_files_of_what_does_not_live_are_not_written(self, place: Place, local: Local) -> None:
        place.add("GSE1")
        place.attach("GSE1", "a.csv")
        location = local.side(place, "a.csv")
        place.remove("GSE1")
        for dataset_id in (ONE, NONE):
            with pytest.raises(NotFound):
                place.writer.attach(dataset_id, _new_file("a.csv", location))
            with pytest.raises(NotFound):
                place.writer.detach(dataset_id, "a.csv")


def _expecting(version_id: VersionId) -> WriteStamp:
    return STAMP.model_copy(update={"expected_version_id": version_id})


def _new_file(
    name: str,
    location: str,
    *,
    tag: str | None = None,
    source_version_id: VersionId | None = None,
) -> NewFile:
    return NewFile(
        file_name=name,
        file_s3_uri=location,
        file_format="csv",
        tag=tag,
        source_version_id=source_version_id,
    )
