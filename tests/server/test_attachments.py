"""The rules of supplementary files."""

from typing import Any

import pytest

from tests.server.house import R9, TestHouse, envelope
from tests.server.inprocess import Answer

FILES = f"{R9}/datasets/GSE1/supplementary_files"


def attributes(answer: Answer) -> dict[str, Any]:
    assert answer.status < 300, answer.body
    found: dict[str, Any] = answer.document["data"]["attributes"]
    return found


def names(house: TestHouse) -> list[str]:
    return [file["id"] for file in house.reader.get(FILES).document["data"]]


def current(house: TestHouse) -> dict[str, Any]:
    return attributes(house.reader.get(f"{R9}/datasets/GSE1"))


@pytest.fixture(autouse=True)
def dataset(house: TestHouse) -> None:
    house.create("GSE1")


def test_attach_then_replace_whole(house: TestHouse) -> None:
    version = current(house)["version_id"]
    first = house.attach("GSE1", "a.csv", tag="QC", source_version_id=version)
    assert first.status == 201
    assert attributes(first)["derived_from"] == current(house)["data_location"]
    house.now += 7
    again = house.attach("GSE1", "a.csv", file_format="txt")
    assert again.status == 200
    replaced = attributes(again)
    assert (replaced["tag"], replaced["derived_from"]) == (None, None)
    assert (replaced["file_format"], replaced["created_at"]) == ("txt", house.now)
    assert attributes(house.reader.get(f"{FILES}/a.csv")) == replaced
    assert names(house) == ["a.csv"]


def test_files_are_listed_by_name(house: TestHouse) -> None:
    for name in ("b.csv", "é.csv", "A.csv", "a b.csv"):
        assert house.attach("GSE1", name).status == 201
    assert names(house) == ["A.csv", "a b.csv", "b.csv", "é.csv"]
    assert house.reader.get(f"{FILES}/a%20b.csv").status == 200
    assert house.reader.get(f"{FILES}/%C3%A9.csv").status == 200


def test_attaching_makes_no_version_and_no_ingestion(house: TestHouse) -> None:
    before = current(house)
    house.now += 5
    house.attach("GSE1", "a.csv")
    assert current(house) == before
    assert len(house.reader.get(f"{R9}/ingestions").document["data"]) == 1


def test_detach(house: TestHouse) -> None:
    house.attach("GSE1", "a.csv")
    house.attach("GSE1", "b.csv")
    gone = house.writer.delete(f"{FILES}/a.csv")
    assert (gone.status, gone.body) == (204, b"")
    assert names(house) == ["b.csv"]
    assert house.writer.delete(f"{FILES}/a.csv").status == 404
    assert house.reader.get(f"{FILES}/a.csv").status == 404


def test_a_uri_without_version_is_pinned_at_once(house: TestHouse) -> None:
    pinned = house.blobs.upload("9/v2/GSE1/.sfiles/a.csv", b"first")
    made = attributes(house.attach("GSE1", "a.csv", file_s3_uri=pinned.split("?")[0]))
    house.blobs.upload("9/v2/GSE1/.sfiles/a.csv", b"second")
    assert made["file_location"] == pinned


def test_objects_elsewhere_or_absent_are_refused(house: TestHouse) -> None:
    foreign = house.blobs.upload("17/v2/GSE1/.sfiles/a.csv")
    for uri in (foreign, "s3://catalog/9/none", "s3://x/9/a", "a.csv"):
        assert house.attach("GSE1", "a.csv", file_s3_uri=uri).status == 422
    assert names(house) == []


def test_unknown_attributes_are_ignored_with_a_warning(house: TestHouse) -> None:
    made = house.attach("GSE1", "a.csv", colour=1)
    assert made.document["meta"]["warnings"] == ["Unknown attribute 'colour' was ignored"]


def test_an_absent_dataset_has_no_files(house: TestHouse) -> None:
    path = f"{R9}/datasets/GSE2/supplementary_files"
    assert house.reader.get(path).status == 404
    assert house.reader.get(f"{path}/a.csv").status == 404
    assert house.writer.delete(f"{path}/a.csv").status == 404
    assert house.attach("GSE2", "a.csv").status == 404


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "../x",
        "a\x00",
        "a\nb",
        "\x7f",
        "\x85",
        "x" * 256,
        "a.versions",
        ".versions",
        "\ud800.csv",
    ],
)
def test_names_that_could_do_harm_are_refused(house: TestHouse, name: str) -> None:
    uri = house.blobs.upload("9/v2/GSE1/.sfiles/a.csv")
    refused = house.attach("GSE1", name, file_s3_uri=uri)
    assert (refused.status, refused.title) == (400, "Bad Request")
    assert "file_name" in refused.detail


@pytest.mark.parametrize("name", ["x" * 255, "a#1.csv", "a?b", "a%41", "...", "-", "日本.csv"])
def test_odd_names_are_fine(house: TestHouse, name: str) -> None:
    assert attributes(house.attach("GSE1", name))["file_name"] == name


class TestLinks:
    def test_the_source_version_must_be_of_this_dataset(self, house: TestHouse) -> None:
        house.create("GSE2")
        foreign = house.reader.get(f"{R9}/datasets/GSE2").document["data"]["attributes"]
        for version in (foreign["version_id"], "none"):
            refused = house.attach("GSE1", "a.csv", source_version_id=version)
            assert refused.status == 422
            assert version in refused.detail
        assert names(house) == []

    def test_an_older_version_with_the_same_data_will_do(self, house: TestHouse) -> None:
        old = current(house)["version_id"]
        house.update("GSE1", metadata={"new": True})
        made = house.attach("GSE1", "a.csv", source_version_id=old)
        assert attributes(made)["derived_from"] == current(house)["data_location"]

    def test_a_version_with_other_data_is_stale(self, house: TestHouse) -> None:
        old = current(house)["version_id"]
        house.update("GSE1", data_s3_uri=house.data("GSE1"))
        refused = house.attach("GSE1", "a.csv", source_version_id=old)
        assert refused.status == 409
        assert current(house)["version_id"] in refused.detail

    def test_a_version_of_an_earlier_life_with_the_same_data_will_do(
        self, house: TestHouse
    ) -> None:
        old = current(house)
        house.writer.delete(f"{R9}/datasets/GSE1?params=%7B%7D")
        house.create("GSE1", data_s3_uri=old["data_location"])
        made = house.attach("GSE1", "a.csv", source_version_id=old["version_id"])
        assert attributes(made)["derived_from"] == old["data_location"]

    def test_new_data_deletes_linked_files_and_names_them(self, house: TestHouse) -> None:
        version = current(house)["version_id"]
        for name in ("b.csv", "a.csv"):
            house.attach("GSE1", name, source_version_id=version)
        house.attach("GSE1", "free.csv")
        answer = house.update("GSE1", data_s3_uri=house.data("GSE1"), colour=1)
        assert answer.document["meta"]["warnings"] == [
            "Unknown attribute 'colour' was ignored",
            "Supplementary file 'a.csv' was linked to the previous data and has been deleted",
            "Supplementary file 'b.csv' was linked to the previous data and has been deleted",
        ]
        assert names(house) == ["free.csv"]

    @pytest.mark.parametrize(
        "change",
        [{"metadata": {}}, {"data_type": "b"}, {"data_format": "h5ad"}, {"study_id": "S"}, {}],
    )
    def test_other_changes_delete_nothing(self, house: TestHouse, change: dict[str, Any]) -> None:
        house.attach("GSE1", "a.csv", source_version_id=current(house)["version_id"])
        answer = house.update("GSE1", **change)
        assert "warnings" not in answer.document["meta"]
        assert names(house) == ["a.csv"]

    def test_the_same_data_again_deletes_nothing(self, house: TestHouse) -> None:
        before = current(house)
        house.attach("GSE1", "a.csv", source_version_id=before["version_id"])
        house.update("GSE1", data_s3_uri=before["data_location"])
        assert names(house) == ["a.csv"]

    def test_a_write_that_fails_deletes_nothing(self, house: TestHouse) -> None:
        before = current(house)
        house.attach("GSE1", "a.csv", source_version_id=before["version_id"])
        with house.store.write() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER broken BEFORE INSERT ON ingestions "
                "BEGIN SELECT RAISE(ABORT, 'cut'); END"
            )
        assert house.update("GSE1", data_s3_uri=house.data("GSE1")).status == 500
        assert names(house) == ["a.csv"]
        assert current(house) == before

    def test_data_that_moves_while_a_file_is_attached_is_noticed(self, house: TestHouse) -> None:
        """No file survives that is linked to data which is not current."""
        body = {
            "file_name": "a.csv",
            "file_format": "csv",
            "file_s3_uri": house.blobs.upload("9/v2/GSE1/.sfiles/a.csv"),
            "source_version_id": current(house)["version_id"],
        }
        attach = {"data": {"type": "supplementary_files", "attributes": body}}
        move = envelope("GSE1", {"data_s3_uri": house.data("GSE1")})
        for _ in range(5):
            house.writer.together([("POST", FILES, attach), ("PATCH", f"{R9}/datasets/GSE1", move)])
            assert names(house) == []
