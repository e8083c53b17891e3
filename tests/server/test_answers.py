"""Pages and links."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polly_core.errors import BadRequest
from polly_core.models.catalog import AtlasId, DatasetId, DatasetRecord, VersionId
from polly_core.server import store_catalog as sql
from polly_core.server.answers import next_link, parse_page
from tests.server.house import R9, TestHouse

IDS = st.text("09AZaz_-", min_size=1, max_size=4)
LISTING = f"{R9}/datasets"


def fill(house: TestHouse, names: set[str]) -> None:
    with house.store.write() as connection:
        for name in names:
            sql.insert_dataset(connection, AtlasId("9"), record(name))


def empty(house: TestHouse) -> None:
    with house.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM datasets")


def record(name: str) -> DatasetRecord:
    return DatasetRecord(
        dataset_id=DatasetId(name),
        version_id=VersionId("v"),
        data_type="t",
        data_format="gct",
        data_location="s3://b/9/x?versionId=1",
        metadata_location="s3://b/9/m?versionId=1",
        last_modified_at=1,
        created_at=1,
    )


def page(house: TestHouse, link: str) -> tuple[list[str], str | None]:
    answer = house.reader.get(link)
    assert answer.status == 200, answer.body
    listed = [item["id"] for item in answer.document["data"]]
    following: str | None = answer.document["links"]["next"]
    return listed, following


def listed(house: TestHouse, link: str | None) -> list[list[str]]:
    pages = []
    while link:
        names, link = page(house, link)
        pages.append(names)
    return pages


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(names=st.sets(IDS, max_size=25), size=st.integers(1, 9))
def test_pages_together_are_the_whole_in_byte_order(
    house: TestHouse, names: set[str], size: int
) -> None:
    empty(house)
    fill(house, names)
    pages = listed(house, f"{LISTING}?page[size]={size}")
    assert list(itertools.chain(*pages)) == sorted(names, key=str.encode)
    assert all(len(names) == size for names in pages[:-1])
    assert len(pages) == max(1, -(-len(names) // size))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=st.sets(IDS, min_size=4, max_size=20),
    size=st.integers(1, 3),
    changes=st.lists(st.tuples(st.booleans(), IDS), max_size=8),
)
def test_what_stays_is_listed_once_whatever_else_comes_and_goes(
    house: TestHouse, names: set[str], size: int, changes: list[tuple[bool, str]]
) -> None:
    empty(house)
    fill(house, names)
    present, touched = set(names), set()
    seen: list[str] = []
    link: str | None = f"{LISTING}?page[size]={size}"
    pending = iter(changes)
    while link:
        found, link = page(house, link)
        seen += found
        for insert, name in itertools.islice(pending, 2):
            touched.add(name)
            if insert and name not in present:
                fill(house, {name})
                present.add(name)
            elif not insert and name in present:
                with house.store.write() as connection:
                    sql.delete_dataset(connection, AtlasId("9"), DatasetId(name))
                present.remove(name)
    assert sorted(seen) == seen
    assert len(set(seen)) == len(seen)
    assert set(seen) - touched == names - touched


def test_the_default_page_has_100(house: TestHouse) -> None:
    fill(house, {f"{n:04}" for n in range(101)})
    names, link = page(house, LISTING)
    assert len(names) == 100
    assert link is not None
    assert link.startswith("/repositories/9/datasets?page[size]=100&page[after]=")
    assert page(house, link) == (["0100"], None)


def test_larger_pages_than_1000_are_clamped_and_say_so(house: TestHouse) -> None:
    fill(house, {f"{n:04}" for n in range(1001)})
    names, link = page(house, f"{LISTING}?page%5Bsize%5D=999999999999")
    assert len(names) == 1000
    assert link is not None
    assert "page[size]=1000&" in link


def test_a_full_last_page_has_no_next(house: TestHouse) -> None:
    fill(house, {"a", "b"})
    assert page(house, f"{LISTING}?page[size]=2") == (["a", "b"], None)


def test_a_page_of_nothing(house: TestHouse) -> None:
    fill(house, {"a"})
    assert page(house, f"{LISTING}?page[size]=0") == ([], None)


@pytest.mark.parametrize(
    "size", ["-1", "x", "", "1.0", " 1", "+1", "1_0", "٣", "²", "1" * 101, "%00"]
)
def test_sizes_that_are_no_numbers_are_refused(house: TestHouse, size: str) -> None:
    answer = house.reader.call("GET", f"{LISTING}?page[size]={size}".encode().decode("latin-1"))
    assert answer.status == 400
    assert "page[size]" in answer.detail


@pytest.mark.parametrize("cursor", ["", "x", "====", "R1NF IQ", "4pyT", "Li4vLi4v", "é"])
def test_cursors_that_no_listing_gave_are_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match=r"follow links\.next"):
        parse_page({"page[after]": cursor})


@settings(deadline=None)
@given(after=IDS, size=st.integers(1, 1000))
def test_a_link_leads_back_to_its_cursor(after: str, size: int) -> None:
    link = next_link("/x", size, after, {})
    assert link is not None
    query: dict[str, Any] = dict(part.split("=", 1) for part in link.split("?")[1].split("&"))
    assert parse_page(query) == (size, after)


def test_only_datasets_of_the_atlas_are_listed(house: TestHouse) -> None:
    house.create("a")
    house.create("b", atlas="17")
    assert page(house, LISTING) == (["a"], None)
