"""The rules of datasets, versions, studies and ingestions, as a client sees them."""

import itertools
import json
from typing import Any
from urllib.parse import quote

import pytest

from polly_core.models.catalog import AtlasId, DatasetId
from polly_core.server.documents import parse_create, parse_update
from polly_core.server.service import DatasetService
from tests.server.house import R9, R17, TestHouse, envelope
from tests.server.inprocess import Answer


def attributes(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.document["data"]["attributes"]
    return found


def dataset(house: TestHouse, name: str) -> dict[str, Any]:
    return attributes(house.reader.get(f"{R9}/datasets/{name}"))


def history(house: TestHouse, name: str, *, deleted: bool = False) -> list[str]:
    answer = house.reader.get(f"{R9}/datasets/{name}/versions?include_deleted={deleted}")
    assert answer.status == 200, answer.body
    return [version["id"] for version in answer.document["data"]]


def delete(house: TestHouse, name: str, **params: object) -> Answer:
    return house.writer.delete(f"{R9}/datasets/{name}?params={quote(json.dumps(params))}")


class TestCreate:
    def test_a_duplicate_is_refused_and_changes_nothing(self, house: TestHouse) -> None:
        house.create("GSE1")
        before, objects = dataset(house, "GSE1"), dict(house.blobs.objects)
        again = house.create("GSE1", data_type="Other", data_s3_uri=before["data_location"])
        assert (again.status, again.detail) == (409, "Dataset 'GSE1' already exists")
        assert dataset(house, "GSE1") == before
        assert house.blobs.objects == objects

    def test_of_two_at_the_same_time_exactly_one_wins(self, house: TestHouse) -> None:
        uri = house.data("GSE1")
        given = {"data_format": "gct", "metadata": {}, "data_s3_uri": uri}
        answers = house.writer.together(
            ("POST", f"{R9}/datasets", envelope("GSE1", {"data_type": str(n), **given}))
            for n in range(12)
        )
        winners = [answer for answer in answers if answer.status == 201]
        assert sorted(answer.status for answer in answers) == [201] + [409] * 11
        assert dataset(house, "GSE1") == attributes(winners[0])
        assert history(house, "GSE1") == [attributes(winners[0])["version_id"]]

    def test_the_loser_of_a_race_is_told_so_after_its_object_was_stored(
        self, house: TestHouse
    ) -> None:
        house.blobs.before_put = overtaken(house, lambda: house.create("GSE1", data_type="first"))
        assert house.create("GSE1", data_type="second").status == 409
        assert dataset(house, "GSE1")["data_type"] == "first"

    def test_the_metadata_object_is_there_before_the_row(self, house: TestHouse) -> None:
        def crash() -> None:
            assert house.reader.get(f"{R9}/datasets/GSE1").status == 404
            raise RuntimeError("killed between object and row")

        house.blobs.after_put = crash
        assert house.create("GSE1").status == 500
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 404
        assert house.reader.get(f"{R9}/ingestions").document["data"] == []
        house.blobs.after_put = lambda: None
        assert house.create("GSE1").status == 201

    def test_an_object_that_cannot_be_stored_leaves_no_row(self, house: TestHouse) -> None:
        def fail() -> None:
            raise RuntimeError

        house.blobs.before_put = fail
        assert house.create("GSE1").status == 500
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 404

    def test_metadata_is_stored_as_it_was_sent(self, house: TestHouse) -> None:
        text = '{"b": 1.0, "a": 1.10, "big": 123456789012345678901, "t": "\\ud83e\\uddec é"}'
        given = {"data_type": "a", "data_format": "gct", "data_s3_uri": house.data("GSE1")}
        body = json.dumps(envelope("GSE1", {**given, "metadata": "HERE"}))
        raw = body.replace('"HERE"', text).encode()
        made = house.writer.post(f"{R9}/datasets", raw)
        stored = house.blobs.content(attributes(made)["metadata_location"])
        assert stored == text.encode()

    def test_a_uri_without_version_is_pinned_at_once(self, house: TestHouse) -> None:
        pinned = house.data("GSE1", content=b"first")
        made = house.create("GSE1", data_s3_uri=pinned.split("?")[0])
        house.data("GSE1", content=b"second")
        assert attributes(made)["data_location"] == pinned

    def test_any_object_of_the_atlas_will_do_and_comes_back_as_posted(
        self, house: TestHouse
    ) -> None:
        uri = house.data("Other").replace("Other.gct", "%4Fther.gct")
        assert attributes(house.create("GSE1", data_s3_uri=uri))["data_location"] == uri

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://catalog/9/v2/none.gct",
            "s3://catalog/17/v2/GSE1/GSE1.gct?versionId=1",
            "s3://elsewhere/9/v2/GSE1/GSE1.gct",
            "https://catalog/9/v2/GSE1/GSE1.gct",
            "",
        ],
    )
    def test_objects_elsewhere_or_absent_are_refused(self, house: TestHouse, uri: str) -> None:
        house.data("GSE1")
        house.data("GSE1", atlas="17")
        refused = house.create("GSE1", data_s3_uri=uri)
        assert (refused.status, refused.title) == (422, "Unprocessable entity")
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 404

    def test_an_object_version_that_is_absent_is_refused(self, house: TestHouse) -> None:
        uri = house.data("GSE1").replace("versionId=1", "versionId=2")
        assert house.create("GSE1", data_s3_uri=uri).status == 422

    def test_unknown_attributes_are_ignored_with_a_warning(self, house: TestHouse) -> None:
        made = house.create("GSE1", colour="blue", parent=None)
        assert made.document["meta"]["warnings"] == [
            "Unknown attribute 'colour' was ignored",
            "Unknown attribute 'parent' was ignored",
        ]

    def test_ids_may_be_numbers_and_come_back_as_text(self, house: TestHouse) -> None:
        given = {"data_type": "a", "data_format": "gct", "metadata": {}, "study_id": 7}
        body = envelope(123, {**given, "data_s3_uri": house.data("123")})
        made = house.writer.post(f"{R9}/datasets", body)
        assert made.document["data"]["id"] == "123"
        assert attributes(made)["study_id"] == "7"

    def test_the_same_id_in_two_atlases_is_two_datasets(self, house: TestHouse) -> None:
        house.create("GSE1", data_type="in 9")
        house.create("GSE1", atlas="17", data_type="in 17")
        assert attributes(house.reader.get(f"{R17}/datasets/GSE1"))["data_type"] == "in 17"
        assert dataset(house, "GSE1")["data_type"] == "in 9"

    def test_ids_are_told_apart_by_letter_case(self, house: TestHouse) -> None:
        house.create("gse1")
        assert house.create("GSE1").status == 201


class TestUpdate:
    def test_only_what_was_given_changes(self, house: TestHouse) -> None:
        house.create("GSE1", study_id="S")
        before = dataset(house, "GSE1")
        house.now += 5
        after = attributes(house.update("GSE1", data_type="Single cell"))
        changed = {"data_type": "Single cell", "last_modified_at": before["last_modified_at"] + 5}
        assert after == {**before, **changed, "version_id": after["version_id"]}
        assert after["version_id"] != before["version_id"]
        assert dataset(house, "GSE1") == after

    def test_metadata_is_replaced_not_merged(self, house: TestHouse) -> None:
        house.create("GSE1", metadata={"a": 1, "b": 2})
        after = attributes(house.update("GSE1", metadata={"c": 3}))
        assert json.loads(house.blobs.content(after["metadata_location"])) == {"c": 3}

    def test_an_update_that_changes_nothing_makes_a_version(self, house: TestHouse) -> None:
        house.create("GSE1", data_type="a")
        house.update("GSE1", data_type="a")
        assert len(history(house, "GSE1")) == 2

    def test_a_study_alone_makes_no_version(self, house: TestHouse) -> None:
        house.create("GSE1")
        before = dataset(house, "GSE1")
        house.now += 5
        after = attributes(house.update("GSE1", study_id="S"))
        assert after["version_id"] == before["version_id"]
        assert after["last_modified_at"] == before["last_modified_at"] + 5
        assert after["study_id"] == "S"
        assert len(history(house, "GSE1")) == 1

    def test_a_null_study_leaves_the_study(self, house: TestHouse) -> None:
        house.create("GSE1", study_id="S")
        assert attributes(house.update("GSE1", study_id=None))["study_id"] is None
        assert house.reader.get(f"{R9}/studies").document["data"] == []

    def test_nothing_at_all_only_queues_an_ingestion(self, house: TestHouse) -> None:
        house.create("GSE1")
        before = dataset(house, "GSE1")
        house.now += 5
        answer = house.update("GSE1", meta={"ingestion_params": {"priority": "high"}})
        assert attributes(answer) == before == dataset(house, "GSE1")
        assert answer.document["meta"]["ingestion"]["params"] == {"priority": "high"}
        assert len(house.reader.get(f"{R9}/ingestions").document["data"]) == 2

    def test_of_many_at_the_same_time_none_is_lost(self, house: TestHouse) -> None:
        house.create("GSE1")
        calls = [
            ("PATCH", f"{R9}/datasets/GSE1", envelope("GSE1", {"metadata": {"n": n}}))
            for n in range(30)
        ]
        answers = house.writer.together(calls)
        assert {answer.status for answer in answers} == {200}
        made = [attributes(answer)["version_id"] for answer in answers]
        versions = history(house, "GSE1")
        assert len(versions) == 31
        assert set(made) < set(versions)
        assert dataset(house, "GSE1")["version_id"] == versions[0]

    def test_parallel_changes_of_different_parts_are_all_there(self, house: TestHouse) -> None:
        house.create("GSE1")
        parts: list[dict[str, object]] = [
            {"metadata": {"new": True}},
            {"data_type": "new"},
            {"study_id": "new"},
            {"data_format": "h5ad"},
        ]
        house.writer.together(
            ("PATCH", f"{R9}/datasets/GSE1", envelope("GSE1", part)) for part in parts
        )
        after = dataset(house, "GSE1")
        assert (after["data_type"], after["study_id"], after["data_format"]) == (
            "new",
            "new",
            "h5ad",
        )
        stored = house.blobs.content(after["metadata_location"])
        assert json.loads(stored) == {"new": True}

    def test_the_expected_version_must_be_current(self, house: TestHouse) -> None:
        first = attributes(house.create("GSE1"))["version_id"]
        meta = {"expected_version_id": first, "ingestion_params": None}
        second = attributes(house.update("GSE1", meta=meta, data_type="b"))["version_id"]
        refused = house.update("GSE1", meta=meta, data_type="c")
        assert refused.status == 409
        assert refused.detail == (
            f"Dataset 'GSE1' is at version {second!r}, not at the expected {first!r}; read it again"
        )
        assert len(history(house, "GSE1")) == 2

    def test_of_many_that_expect_the_same_version_one_wins(self, house: TestHouse) -> None:
        first = attributes(house.create("GSE1"))["version_id"]
        meta = {"expected_version_id": first}
        answers = house.writer.together(
            ("PATCH", f"{R9}/datasets/GSE1", envelope("GSE1", {"metadata": {"n": n}}, meta=meta))
            for n in range(12)
        )
        assert sorted(answer.status for answer in answers) == [200] + [409] * 11
        assert len(history(house, "GSE1")) == 2

    def test_a_version_that_moves_meanwhile_is_noticed(self, house: TestHouse) -> None:
        first = attributes(house.create("GSE1"))["version_id"]
        house.blobs.before_put = overtaken(house, lambda: house.update("GSE1", data_type="b"))
        refused = house.update("GSE1", meta={"expected_version_id": first}, metadata={})
        assert refused.status == 409
        assert dataset(house, "GSE1")["data_type"] == "b"

    def test_a_server_without_the_capability_does_not_enforce_it(self, house: TestHouse) -> None:
        house.create("GSE1")
        house.suffer(capabilities=())
        meta = {"expected_version_id": "another"}
        assert house.update("GSE1", meta=meta, data_type="b").status == 200

    def test_a_crash_between_object_and_row_changes_nothing(self, house: TestHouse) -> None:
        house.create("GSE1")
        before = dataset(house, "GSE1")

        def crash() -> None:
            raise RuntimeError

        house.blobs.after_put = crash
        assert house.update("GSE1", metadata={"new": True}).status == 500
        assert dataset(house, "GSE1") == before
        assert len(history(house, "GSE1")) == 1

    def test_absent_and_deleted_datasets_are_not_found(self, house: TestHouse) -> None:
        objects = dict(house.blobs.objects)
        assert house.update("GSE1", metadata={}).status == 404
        assert house.blobs.objects == objects
        house.create("GSE1")
        delete(house, "GSE1")
        assert house.update("GSE1", metadata={}).status == 404

    def test_a_dataset_deleted_meanwhile_is_not_found(self, house: TestHouse) -> None:
        house.create("GSE1")
        house.blobs.before_put = overtaken(house, lambda: delete(house, "GSE1"))
        assert house.update("GSE1", metadata={}).status == 404
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 404

    def test_another_id_than_in_the_url_is_refused(self, house: TestHouse) -> None:
        house.create("GSE1")
        answer = house.writer.patch(f"{R9}/datasets/GSE1", envelope("GSE2", {"data_type": "b"}))
        assert (answer.status, answer.detail) == (
            409,
            "data.id: expected 'GSE1' as in the URL, found 'GSE2'",
        )


class TestDelete:
    def test_what_is_gone_and_what_stays(self, house: TestHouse) -> None:
        version = attributes(house.create("GSE1", study_id="S"))["version_id"]
        house.attach("GSE1", "a.csv")
        objects = dict(house.blobs.objects)
        gone = delete(house, "GSE1")
        assert (gone.status, gone.body) == (204, b"")
        for path in ("", "/supplementary_files", "/supplementary_files/a.csv"):
            assert house.reader.get(f"{R9}/datasets/GSE1{path}").status == 404
        assert house.reader.get(f"{R9}/datasets").document["data"] == []
        assert house.reader.get(f"{R9}/studies").document["data"] == []
        assert house.reader.get(f"{R9}/studies/S").status == 404
        assert house.attach("GSE1", "b.csv").status == 404
        assert house.reader.get(f"{R9}/datasets/GSE1/versions").status == 404
        assert history(house, "GSE1", deleted=True) == [version]
        assert house.reader.get(f"{R9}/datasets/GSE1/versions/{version}").status == 200
        assert house.blobs.objects.items() >= objects.items()

    def test_what_is_not_there_cannot_be_deleted(self, house: TestHouse) -> None:
        assert delete(house, "GSE1").status == 404
        house.create("GSE1")
        assert delete(house, "GSE1").status == 204
        assert delete(house, "GSE1").status == 404

    def test_the_expected_version_must_be_current(self, house: TestHouse) -> None:
        version = attributes(house.create("GSE1"))["version_id"]
        assert delete(house, "GSE1", expected_version_id="another").status == 409
        assert dataset(house, "GSE1")["version_id"] == version
        assert delete(house, "GSE1", expected_version_id=version).status == 204

    def test_params_may_be_missing_or_have_more_in_them(self, house: TestHouse) -> None:
        house.create("GSE1")
        assert house.writer.delete(f"{R9}/datasets/GSE1").status == 204
        house.create("GSE1")
        assert delete(house, "GSE1", force=True, colour=None).status == 204

    @pytest.mark.parametrize("params", ["x", "[]", "null", '{"expected_version_id": 1}'])
    def test_params_that_are_no_object_are_refused(self, house: TestHouse, params: str) -> None:
        house.create("GSE1")
        assert house.writer.delete(f"{R9}/datasets/GSE1?params={quote(params)}").status == 400
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 200

    def test_a_revived_id_begins_a_new_life(self, house: TestHouse) -> None:
        first = attributes(house.create("GSE1", study_id="S"))["version_id"]
        house.attach("GSE1", "a.csv")
        delete(house, "GSE1")
        house.now += 5
        revived = attributes(house.create("GSE1"))
        assert revived["study_id"] is None
        assert revived["created_at"] == house.now
        assert house.reader.get(f"{R9}/datasets/GSE1/supplementary_files").document["data"] == []
        assert history(house, "GSE1") == [revived["version_id"]]
        assert history(house, "GSE1", deleted=True) == [revived["version_id"], first]
        assert house.reader.get(f"{R9}/datasets/GSE1/versions/{first}").status == 200


class TestVersions:
    def test_newest_first_over_several_lives(self, house: TestHouse) -> None:
        made = []
        for life in range(3):
            made.append(attributes(house.create("GSE1"))["version_id"])
            updates = [house.update("GSE1", metadata={}) for _ in range(life)]
            made += [attributes(update)["version_id"] for update in updates]
            delete(house, "GSE1")
        made.append(attributes(house.create("GSE1"))["version_id"])
        assert history(house, "GSE1", deleted=True) == made[::-1]
        assert history(house, "GSE1") == made[-1:]

    def test_times_never_decrease_even_when_the_clock_does(self, house: TestHouse) -> None:
        house.create("GSE1")
        for step in (5, -20, 1, -3):
            house.now += step
            house.update("GSE1", metadata={})
        house.now -= 100
        house.update("GSE1", study_id="S")
        delete(house, "GSE1")
        house.create("GSE1")
        house.update("GSE1", metadata={})
        answer = house.reader.get(f"{R9}/datasets/GSE1/versions?include_deleted=True")
        times = [version["attributes"]["created_at"] for version in answer.document["data"]]
        assert times == sorted(times, reverse=True)
        assert dataset(house, "GSE1")["last_modified_at"] >= times[0]

    @pytest.mark.parametrize("spelling", ["True", "true", "TRUE", "tRuE"])
    def test_the_flag_is_read_in_any_case(self, house: TestHouse, spelling: str) -> None:
        house.create("GSE1")
        delete(house, "GSE1")
        path = f"{R9}/datasets/GSE1/versions?include_deleted={spelling}"
        assert house.reader.get(path).status == 200
        assert house.reader.get(path.replace(spelling, "FALSE")).status == 404

    @pytest.mark.parametrize("spelling", ["1", "yes", "", "None"])
    def test_other_flags_are_refused(self, house: TestHouse, spelling: str) -> None:
        house.create("GSE1")
        path = f"{R9}/datasets/GSE1/versions?include_deleted={spelling}"
        refused = house.reader.get(path)
        expected = 200 if spelling == "" else 400
        assert refused.status == expected

    def test_what_never_existed_has_none(self, house: TestHouse) -> None:
        path = f"{R9}/datasets/GSE1/versions?include_deleted="
        assert house.reader.get(path + "True").status == 404
        assert house.reader.get(path + "False").status == 404

    def test_a_version_belongs_to_one_dataset_of_one_atlas(self, house: TestHouse) -> None:
        version = attributes(house.create("GSE1"))["version_id"]
        house.create("GSE2")
        house.create("GSE1", atlas="17")
        for path in (f"{R9}/datasets/GSE2", f"{R17}/datasets/GSE1", f"{R9}/datasets/none"):
            assert house.reader.get(f"{path}/versions/{version}").status == 404
        assert house.reader.get(f"{R9}/datasets/GSE1/versions/none").status == 404

    def test_a_version_never_changes(self, house: TestHouse) -> None:
        version = attributes(house.create("GSE1"))["version_id"]
        path = f"{R9}/datasets/GSE1/versions/{version}"
        before = house.reader.get(path).body
        house.update("GSE1", metadata={}, data_type="b", data_format="h5ad")
        house.update("GSE1", study_id="S", data_s3_uri=house.data("GSE1"))
        delete(house, "GSE1")
        assert house.reader.get(path).body == before


class TestStudies:
    def test_they_follow_their_live_datasets(self, house: TestHouse) -> None:
        for name, study in (("b", "S2"), ("a", "S2"), ("c", "S1"), ("d", None)):
            house.create(name, study_id=study)
        house.create("x", atlas="17", study_id="S3")
        listed = house.reader.get(f"{R9}/studies").document["data"]
        assert [study["id"] for study in listed] == ["S1", "S2"]
        assert members(house, "S2") == ["a", "b"]
        house.update("a", study_id="S1")
        assert members(house, "S1") == ["a", "c"]
        delete(house, "b")
        assert house.reader.get(f"{R9}/studies/S2").status == 404

    def test_members_are_at_the_top_level_and_in_the_resource(self, house: TestHouse) -> None:
        house.create("a", study_id="S")
        document = house.reader.get(f"{R9}/studies/S").document
        assert document["relationships"] == document["data"]["relationships"]

    def test_bad_ids_are_refused(self, house: TestHouse) -> None:
        assert house.create("a", study_id="S 1").status == 400
        assert house.reader.get(f"{R9}/studies/S%201").status == 400


class TestIngestions:
    def test_each_write_is_recorded_with_its_run_and_version(self, house: TestHouse) -> None:
        meta = {"ingestion_params": {"ingestion_run_id": "run", "priority": "low", "x": [1.5]}}
        made = house.create("GSE1", meta=meta)
        assert made.document["meta"]["ingestion"] == {
            "run_id": "run",
            "status": "queued",
            "params": meta["ingestion_params"],
        }
        first = attributes(made)["version_id"]
        house.now += 1
        second = attributes(house.update("GSE1", meta=meta, metadata={}))["version_id"]
        house.update("GSE1", meta=meta)
        house.update("GSE1", meta=meta, study_id="S")
        delete(house, "GSE1", **meta)
        listed = [
            record["attributes"]
            for record in house.reader.get(f"{R9}/ingestions?run_id=run").document["data"]
        ]
        versions = [record["version_id"] for record in listed]
        assert versions == [first, second, second, second, None]
        assert {record["run_id"] for record in listed} == {"run"}
        assert {record["dataset_id"] for record in listed} == {"GSE1"}
        assert listed[0]["params"] == meta["ingestion_params"]
        assert [record["at"] for record in listed] == [house.now - 1] + [house.now] * 4

    def test_a_run_id_is_made_where_none_was_given(self, house: TestHouse) -> None:
        notes = [
            house.create(name, meta={"ingestion_params": params}).document["meta"]["ingestion"]
            for name, params in (("a", None), ("b", {"priority": "medium"}))
        ]
        assert len({note["run_id"] for note in notes}) == 2
        assert notes[0]["params"] is None

    def test_refused_writes_are_not_recorded(self, house: TestHouse) -> None:
        house.create("GSE1")
        house.create("GSE1")
        house.update("GSE1", meta={"expected_version_id": "x"}, metadata={})
        delete(house, "GSE1", expected_version_id="x")
        assert len(house.reader.get(f"{R9}/ingestions").document["data"]) == 1

    def test_they_are_listed_by_run_dataset_both_or_neither_in_pages(
        self, house: TestHouse
    ) -> None:
        for name, run in itertools.product(("a", "b"), ("r 1&", "r2")):
            meta = {"ingestion_params": {"ingestion_run_id": run}}
            house.create(name, meta=meta)
            house.update(name, meta=meta, metadata={})
            delete(house, name, **meta)
        house.create("a", atlas="17")
        for query, count in (
            ("", 12),
            ("run_id=r%201%26", 6),
            ("dataset_id=b", 6),
            ("run_id=r2&dataset_id=a", 3),
            ("run_id=none", 0),
        ):
            found: list[str] = []
            link = f"{R9}/ingestions?{query}&page[size]=2"
            while link:
                page = house.reader.get(link).document
                assert len(page["data"]) <= 2
                found += [record["id"] for record in page["data"]]
                link = page["links"]["next"]
            assert len(found) == count
            assert found == sorted(found, key=int)

    def test_a_server_without_the_capability_has_no_such_route(self, house: TestHouse) -> None:
        house.suffer(capabilities=("expected_version_id",))
        assert house.reader.get(f"{R9}/ingestions").status == 404

    @pytest.mark.parametrize(
        "query", ["page[after]=x", "page[after]=R1NF", "dataset_id=a%20b", "page[size]=x"]
    )
    def test_bad_queries_are_refused(self, house: TestHouse, query: str) -> None:
        assert house.reader.get(f"{R9}/ingestions?{query}").status == 400


def test_a_killed_server_shows_a_dataset_whole_or_not_at_all(house: TestHouse) -> None:
    """Every point at which a write may end leaves either the old state or the new."""
    services: DatasetService = house.app.state.house.datasets
    nine, gse1 = AtlasId("9"), DatasetId("GSE1")
    uri = house.data("GSE1")
    given = {"data_type": "a", "data_format": "gct", "metadata": {}, "data_s3_uri": uri}
    create = parse_create(json.dumps(envelope("GSE1", given)).encode())
    services.create(nine, create)
    record = services.dataset(nine, gse1)
    body = json.dumps(envelope("GSE1", {"metadata": {"n": 1}, "study_id": "S"})).encode()
    for broken in ("datasets", "versions", "ingestions"):
        with house.store.write() as connection:
            connection.exec_driver_sql(
                f"CREATE TRIGGER broken BEFORE "
                f"{'UPDATE' if broken == 'datasets' else 'INSERT'} ON {broken} "
                "BEGIN SELECT RAISE(ABORT, 'cut'); END"
            )
        assert house.writer.patch(f"{R9}/datasets/GSE1", body).status == 500
        with house.store.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER broken")
        assert services.dataset(nine, gse1) == record
        assert len(services.versions(nine, gse1, include_deleted=True)) == 1
    services.update(nine, gse1, parse_update(body, gse1))
    assert services.dataset(nine, gse1).study_id == "S"


def members(house: TestHouse, study: str) -> list[str]:
    document = house.reader.get(f"{R9}/studies/{study}").document
    return [member["id"] for member in document["relationships"]["datasets"]["data"]]


def overtaken(house: TestHouse, action: Any) -> Any:
    """A hook that does something else once, in the middle of a write."""

    def once() -> None:
        house.blobs.before_put = lambda: None
        assert action().status < 300

    return once
