"""What every catalog does that an engine may rely on; one suite for the fake and the real one.

Subclass ``CatalogContract``, ``WritesContract`` and ``StoreContract`` in a test module and give
them fixtures ``place`` and ``local``.
"""

import pytest

from polly_core.errors import BadRequest, Conflict, InvalidInput, NotFound, ObjectMissing
from polly_core.models.catalog import DatasetChange, RunId, StudyId, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.testing.place import NONE, ONE, RUN, STAMP, TWO, Local, Place


class CatalogContract:
    """The suite. Every test begins with an empty atlas."""

    def test_an_empty_atlas_has_one_empty_page(self, place: Place) -> None:
        page = place.reader.page()
        assert page.records == ()
        assert page.next_link is None

    def test_pages_hold_every_dataset_once_in_order(self, place: Place) -> None:
        for number in (3, 1, 5, 2, 4):
            place.add(f"D{number}")
        first = place.reader.page(size=2)
        assert [record.dataset_id for record in first.records] == ["D1", "D2"]
        second = place.reader.page(first.next_link)
        assert [record.dataset_id for record in second.records] == ["D3", "D4"]
        third = place.reader.page(second.next_link)
        assert [record.dataset_id for record in third.records] == ["D5"]
        assert third.next_link is None
        found = [record.dataset_id for record in place.reader.datasets(page_size=2)]
        assert found == ["D1", "D2", "D3", "D4", "D5"]

    def test_a_page_is_read_again_as_it_is_then(self, place: Place) -> None:
        for number in (1, 2, 4):
            place.add(f"D{number}")
        link = place.reader.page(size=2).next_link
        place.add("D3")
        place.remove("D1")
        found = [record.dataset_id for record in place.reader.page(link).records]
        assert found == ["D3", "D4"]

    @pytest.mark.parametrize("size", [0, -1])
    def test_a_page_has_at_least_one_dataset(self, place: Place, size: int) -> None:
        with pytest.raises(InvalidInput, match="page size"):
            place.reader.page(size=size)

    def test_a_page_size_above_the_maximum_is_lowered(self, place: Place) -> None:
        place.add("D1")
        assert len(place.reader.page(size=100_000).records) == 1

    def test_a_dataset_is_read_as_it_stands(self, place: Place) -> None:
        added = place.add("GSE1", {"organism": "human"}, study_id="S1")
        found = place.reader.dataset(ONE)
        assert found == added
        assert found.study_id == "S1"
        assert found.created_at == found.last_modified_at

    def test_what_is_not_there_is_not_found(self, place: Place) -> None:
        place.add("GSE1")
        missing = VersionId("00000000-0000-4000-8000-00000000dead")
        with pytest.raises(NotFound):
            place.reader.dataset(NONE)
        with pytest.raises(NotFound):
            place.reader.versions(NONE, include_deleted=True)
        with pytest.raises(NotFound):
            place.reader.version(ONE, missing)
        with pytest.raises(NotFound):
            place.reader.files(NONE)
        with pytest.raises(NotFound):
            place.reader.study(StudyId("none"))
        with pytest.raises(NotFound):
            place.writer.update(NONE, DatasetChange(metadata={}), STAMP)

    def test_metadata_is_exactly_what_was_written(self, place: Place) -> None:
        metadata: JsonObject = {
            "z": [1, 1.0, 1e-300, 12345678901234567890, True, None, "", "ä€😀\u2028"],
            "a": {"empty": {}, "list": []},
        }
        record = place.add("GSE1", metadata)
        found = place.reader.metadata(record)
        assert found == metadata
        assert repr(found) == repr(metadata)

    def test_metadata_is_a_new_object_at_each_call(self, place: Place) -> None:
        record = place.add("GSE1", {"list": [1]})
        place.reader.metadata(record)["list"] = []
        assert place.reader.metadata(record) == {"list": [1]}

    def test_metadata_of_an_older_version_stays_readable(self, place: Place) -> None:
        first = place.add("GSE1", {"n": 1})
        second = place.writer.update(ONE, DatasetChange(metadata={"n": 2}), STAMP)
        assert place.reader.metadata(first) == {"n": 1}
        assert place.reader.metadata(second) == {"n": 2}
        older = place.reader.versions(ONE)[1]
        assert place.reader.metadata(older) == {"n": 1}

    def test_missing_metadata_is_an_object_error(self, place: Place) -> None:
        record = place.add("GSE1", {"n": 1})
        lost = record.metadata_location.replace(record.version_id, "lost")
        with pytest.raises(ObjectMissing):
            place.reader.metadata(record.model_copy(update={"metadata_location": lost}))

    def test_an_update_replaces_metadata_and_leaves_the_rest(self, place: Place) -> None:
        before = place.add("GSE1", {"a": 1, "b": 2}, study_id="S1")
        after = place.writer.update(ONE, DatasetChange(metadata={"b": 3}), STAMP)
        assert place.reader.metadata(after) == {"b": 3}
        assert after.version_id != before.version_id
        assert after.study_id == "S1"
        assert (after.data_type, after.data_format) == (before.data_type, before.data_format)
        assert after.data_location == before.data_location
        assert after.created_at == before.created_at
        assert after.last_modified_at >= before.last_modified_at
        assert place.reader.dataset(ONE) == after

    def test_an_update_of_the_type_keeps_the_metadata_object(self, place: Place) -> None:
        before = place.add("GSE1", {"a": 1})
        after = place.writer.update(ONE, DatasetChange(data_type="Proteomics"), STAMP)
        assert after.data_type == "Proteomics"
        assert after.metadata_location == before.metadata_location
        assert after.version_id != before.version_id

    def test_every_update_makes_a_version_even_if_nothing_changes(self, place: Place) -> None:
        place.add("GSE1", {"a": 1})
        place.writer.update(ONE, DatasetChange(metadata={"a": 1}), STAMP)
        assert len(place.reader.versions(ONE)) == 2

    def test_a_study_change_makes_no_version(self, place: Place) -> None:
        before = place.add("GSE1", {"a": 1})
        after = place.writer.update(ONE, DatasetChange(study_id=StudyId("S2")), STAMP)
        assert after.version_id == before.version_id
        assert place.reader.study(StudyId("S2")) == ["GSE1"]
        left = place.writer.update(ONE, DatasetChange(study_id=None), STAMP)
        assert left.study_id is None
        with pytest.raises(NotFound):
            place.reader.study(StudyId("S2"))

    def test_a_study_lists_its_live_datasets(self, place: Place) -> None:
        for name in ("B", "A", "C"):
            place.add(name, study_id="S1")
        place.add("D", study_id="S2")
        place.remove("C")
        assert place.reader.study(StudyId("S1")) == ["A", "B"]

    def test_versions_are_newest_first_and_agree_with_single_reads(self, place: Place) -> None:
        records = [place.add("GSE1", {"n": 0})]
        for number in (1, 2, 3):
            change = DatasetChange(metadata={"n": number})
            records.append(place.writer.update(ONE, change, STAMP))
        history = place.reader.versions(ONE)
        assert [v.version_id for v in history] == [r.version_id for r in reversed(records)]
        assert [v.created_at for v in history] == sorted(
            (v.created_at for v in history), reverse=True
        )
        for version in history:
            assert place.reader.version(ONE, version.version_id) == version

    def test_a_deleted_dataset_keeps_its_history(self, place: Place) -> None:
        record = place.add("GSE1", {"n": 1}, study_id="S1")
        place.attach("GSE1", "a.csv")
        place.remove("GSE1")
        for read in (place.reader.dataset, place.reader.files, place.reader.versions):
            with pytest.raises(NotFound):
                read(ONE)
        with pytest.raises(NotFound):
            place.writer.update(ONE, DatasetChange(metadata={}), STAMP)
        assert list(place.reader.datasets()) == []
        old = place.reader.versions(ONE, include_deleted=True)
        assert [version.version_id for version in old] == [record.version_id]
        assert place.reader.metadata(place.reader.version(ONE, record.version_id)) == {"n": 1}

    def test_a_second_life_has_a_history_of_its_own(self, place: Place) -> None:
        first = place.add("GSE1", {"n": 1}, study_id="S1")
        place.remove("GSE1")
        second = place.add("GSE1", {"n": 2})
        assert second.study_id is None
        assert [v.version_id for v in place.reader.versions(ONE)] == [second.version_id]
        both = place.reader.versions(ONE, include_deleted=True)
        assert [v.version_id for v in both] == [second.version_id, first.version_id]
        assert place.reader.files(ONE) == []

    def test_the_same_id_cannot_live_twice(self, place: Place) -> None:
        place.add("GSE1", {"n": 1})
        with pytest.raises(Conflict):
            place.add("GSE1", {"n": 2})
        assert place.reader.metadata(place.reader.dataset(ONE)) == {"n": 1}

    def test_files_are_listed_by_name(self, place: Place) -> None:
        place.add("GSE1")
        for name in ("b.csv", "a.csv"):
            place.attach("GSE1", name, tag=name[0])
        found = place.reader.files(ONE)
        assert [(file.file_name, file.tag) for file in found] == [("a.csv", "a"), ("b.csv", "b")]
        assert all(file.derived_from is None for file in found)

    def test_linked_files_die_with_the_data_and_nothing_else(
        self, place: Place, local: Local
    ) -> None:
        record = place.add("GSE1", {"n": 1})
        place.attach("GSE1", "free.csv")
        linked = place.attach("GSE1", "linked.csv", linked=True)
        assert linked.derived_from == record.data_location
        place.writer.update(ONE, DatasetChange(metadata={"n": 2}, data_type="Other"), STAMP)
        assert [file.file_name for file in place.reader.files(ONE)] == ["free.csv", "linked.csv"]
        change = DatasetChange(data_s3_uri=local.data(place, "other"))
        place.writer.update(ONE, change, STAMP)
        assert [file.file_name for file in place.reader.files(ONE)] == ["free.csv"]

    def test_an_expected_version_is_enforced_where_it_is_promised(self, place: Place) -> None:
        old = place.add("GSE1", {"n": 1})
        place.writer.update(ONE, DatasetChange(metadata={"n": 2}), STAMP)
        stale = STAMP.model_copy(update={"expected_version_id": old.version_id})
        change = DatasetChange(metadata={"n": 3})
        if place.reader.capabilities.expects_version:
            with pytest.raises(Conflict) as caught:
                place.writer.update(ONE, change, stale)
            assert caught.value.outcome_known
            assert place.reader.metadata(place.reader.dataset(ONE)) == {"n": 2}
        else:
            place.writer.update(ONE, change, stale)
        current = place.reader.dataset(ONE).version_id
        right = STAMP.model_copy(update={"expected_version_id": current})
        last = place.writer.update(ONE, DatasetChange(metadata={"n": 4}), right)
        assert place.reader.metadata(last) == {"n": 4}

    def test_ingestions_name_run_and_version_where_they_are_recorded(self, place: Place) -> None:
        place.add("GSE1", {"n": 1})
        place.add("GSE2", {"n": 1})
        stamp = STAMP.model_copy(update={"priority": "low"})
        one = place.writer.update(ONE, DatasetChange(metadata={"n": 2}), stamp)
        two = place.writer.update(TWO, DatasetChange(metadata={"n": 2}), STAMP)
        if not place.reader.capabilities.lists_ingestions:
            assert place.reader.ingestions(RUN) == []
            return
        found = place.reader.ingestions(RUN)
        assert [(i.dataset_id, i.version_id) for i in found] == [
            ("GSE1", one.version_id),
            ("GSE2", two.version_id),
        ]
        assert found[0].params == {"ingestion_run_id": RUN, "priority": "low"}
        assert [i.dataset_id for i in place.reader.ingestions(RUN, TWO)] == ["GSE2"]
        assert place.reader.ingestions(RunId("another")) == []

    def test_metadata_that_is_no_json_is_never_sent(self, place: Place) -> None:
        place.add("GSE1", {"n": 1})
        with pytest.raises(InvalidInput, match="JSON"):
            place.writer.update(ONE, DatasetChange(metadata={"n": float("nan")}), STAMP)
        assert len(place.reader.versions(ONE)) == 1

    def test_a_null_that_means_nothing_is_refused(self, place: Place) -> None:
        place.add("GSE1", {"n": 1})
        with pytest.raises(BadRequest):
            place.writer.update(ONE, DatasetChange(metadata=None), STAMP)
        assert len(place.reader.versions(ONE)) == 1

    def test_the_catalog_names_itself_and_its_instance(self, place: Place) -> None:
        catalog = place.reader.catalog
        assert catalog == place.reader.catalog
        assert catalog.instance_id == place.reader.capabilities.instance_id
        assert not catalog.api_url.endswith("/")
