"""Each defect of the vendor's client (wire.md §11), by its number, is absent here: 13 to 23."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polly_core.auth import Polly, UnauthorizedException
from polly_core.data_management import Catalog, copy_dataset
from polly_core.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    ReadFailed,
    StorageError,
    Unauthorized,
)
from polly_core.threading_utils import FailureLimitError, for_each_threaded
from tests.client.stubs import stub_catalog
from tests.support.atlas import RunningAtlas
from tests.transport.stub import Asked, Reply, Waits, dataset, error, serving, tokens

# Errors, HTTP


def test_13_reads_are_bounded_in_time_and_repeated_over_http() -> None:
    waits = Waits()
    with serving(error(500), Reply(delay=3), error(429), Reply(200, {"data": dataset()})) as stub:
        started = time.monotonic()
        assert stub_catalog(stub, waits).get_dataset("GSE1").dataset_id == "GSE1"
        assert time.monotonic() - started < 3.5
    assert len(waits.slept) == 3


def test_13_a_refused_write_is_repeated_and_an_exhausted_read_keeps_its_body() -> None:
    with serving(error(429), error(503, Retry_After="1"), Reply(200, {"data": dataset()})) as stub:
        stub_catalog(stub).update_dataset("GSE1", metadata={})
    with (
        serving(answer=lambda asked: error(503, "Down", "back at noon")) as stub,
        pytest.raises(ReadFailed, match="back at noon"),
    ):
        stub_catalog(stub).get_dataset("GSE1")


@pytest.mark.parametrize(
    "body",
    [{"errors": [{}]}, {"errors": []}, {"errors": "x"}, {"error": {"title": "t"}}, "text", None],
)
def test_14_any_error_document_is_an_error_with_a_status(body: object) -> None:
    with serving(Reply(409, body)) as stub, pytest.raises(Conflict) as caught:
        stub_catalog(stub).update_dataset("GSE1", metadata={})
    assert caught.value.status == 409


def test_14_a_success_is_a_success_and_401_has_one_class() -> None:
    odd = {"data": {**dataset(), "error": None}, "errors": None}
    with serving(Reply(200, odd), error(401), Reply(401, {"message": "no"})) as stub:
        catalog = stub_catalog(stub)
        assert catalog.get_dataset("GSE1").dataset_id == "GSE1"
        for _ in range(2):
            with pytest.raises(Unauthorized):
                catalog.get_dataset("GSE1")
    assert UnauthorizedException is NotAuthenticated


def test_15_the_key_goes_to_no_other_host() -> None:
    with serving(answer=lambda asked: Reply(200, {"data": dataset()})) as thief:
        away = Reply(302, b"", {"Location": f"{thief.url}/x"})
        with serving(answer=lambda asked: away) as stub, pytest.raises(ReadFailed):
            stub_catalog(stub).get_dataset("GSE1")
        assert thief.asked == []


def test_16_compressed_answers_are_asked_for_and_parsed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from polly_core.catalog.documents import OpenListDocument

    parsed: list[int] = []
    parse = OpenListDocument.model_validate_json

    def counting(data: bytes) -> OpenListDocument:
        parsed.append(len(data))
        return parse(data)

    monkeypatch.setattr(OpenListDocument, "model_validate_json", counting)
    page = Reply(200, {"data": [dataset()]}, {"Content-Encoding": "gzip"}, packed=True)
    with serving(page) as stub:
        assert len(stub_catalog(stub).list_datasets()) == 1
        assert stub.asked[0].headers["accept-encoding"] == "gzip"
    assert len(parsed) == 1


def test_17_a_rollback_uses_every_answer_it_asks_for() -> None:
    version = {**dataset(), "id": "v1"}
    metadata = Reply(200, b"{}", {"Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT", "ETag": "x"})

    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url, capabilities=["expected_version_id"]))
        if asked.path.startswith("/bucket/"):
            return metadata
        return Reply(200, {"data": version if "/versions/" in asked.path else dataset()})

    with serving(answer=answer) as stub:
        stub_catalog(stub).rollback("GSE1", "v1")
        api = [(a.method, a.path) for a in stub.asked if a.path.startswith("/repositories")]
        assert api == [
            ("GET", "/repositories/9/datasets/GSE1/versions/v1"),
            ("GET", "/repositories/9/datasets/GSE1"),
            ("PATCH", "/repositories/9/datasets/GSE1"),
        ]
        # The second answer is what the precondition is made of.
        sent = stub.asked[-1].body
        assert b'"expected_version_id":"11111111-1111-4111-8111-111111111111"' in sent


# Listing, bulk


def pages(count: int, size: int) -> list[Reply]:
    """Pages of a listing; the link of each leads to the next."""
    found = []
    for start in range(0, count, size):
        link = f"/repositories/9/datasets?page[after]={start + size}"
        more = {"next": link if start + size < count else None}
        data = [dataset(f"D{n:03}") for n in range(start, min(start + size, count))]
        found.append(Reply(200, {"data": data, "links": more}))
    return found


def test_18_listings_stream_and_keep_what_came_before_a_failure() -> None:
    first, second, _ = pages(6, 2)
    with serving(first, second, error(404)) as stub:
        stream = stub_catalog(stub).iter_datasets()
        assert [next(stream).dataset_id for _ in range(2)] == ["D000", "D001"]
        assert len(stub.asked) == 1
        assert [next(stream).dataset_id for _ in range(2)] == ["D002", "D003"]
        with pytest.raises(NotFound):
            next(stream)


@pytest.mark.parametrize(("limit", "found", "asked"), [(0, 0, 0), (1, 1, 1), (3, 3, 2), (9, 6, 3)])
def test_18_limits_are_exact(limit: int, found: int, asked: int) -> None:
    with serving(*pages(6, 2)) as stub:
        assert len(stub_catalog(stub).list_datasets(limit=limit)) == found
        assert len(stub.asked) == asked


def test_18_a_negative_limit_is_refused() -> None:
    with serving() as stub, pytest.raises(InvalidInput, match="limit"):
        stub_catalog(stub).list_datasets(limit=-1)


def test_19_every_listing_follows_its_pages() -> None:
    file = {"id": "f", "attributes": {"file_name": "f", "created_at": 1, "omixatlas_id": "9"}}
    study = {"relationships": {"datasets": {"data": [{"type": "datasets", "id": "A"}]}}}
    cases: tuple[tuple[dict[str, Any], Callable[[Catalog], list[Any]]], ...] = (
        ({"data": [dataset()]}, lambda c: c.list_versions("D")),
        ({"data": [file]}, lambda c: c.list_files("D")),
        ({"data": [{"type": "studies", "id": "S"}]}, lambda c: c.list_studies()),
        (study, lambda c: c.list_datasets_in_study("S")),
    )
    for page, read in cases:
        first = Reply(200, {**page, "links": {"next": "/next"}})
        with serving(first, Reply(200, {**page, "links": {"next": None}})) as stub:
            assert len(read(stub_catalog(stub))) == 2
            assert stub.paths()[1] == "/next"


@pytest.mark.parametrize("link", ["https://elsewhere.example/x", "//elsewhere.example/x", "x"])
def test_19_a_page_link_leads_nowhere_else(link: str) -> None:
    page = Reply(200, {"data": [], "links": {"next": link}})
    with serving(page) as stub, pytest.raises(ReadFailed, match="page link"):
        stub_catalog(stub).list_studies()


def test_20_every_item_has_its_turn_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[int] = []

    def fn(item: int) -> int:
        seen.append(item)
        if item in {0, 7}:
            raise KeyError(item)
        return item * 10

    with pytest.raises(FailureLimitError, match="2 of 50") as caught:
        for_each_threaded(range(50), fn, max_workers=4)
    assert sorted(seen) == list(range(50))
    assert [failure.item for failure in caught.value.report.failures] == [0, 7]
    assert len(caught.value.report.results) == 48
    report = for_each_threaded(range(50), fn, max_error_perc=0.04)
    assert report.results[0] == (1, 10)
    assert capsys.readouterr() == ("", "")


def test_20_one_unreadable_metadata_object_spoils_no_other(
    catalog: Catalog, csv: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        catalog.create_dataset(f"D{number}", "T", csv, {"n": number})
    read = catalog._calls.read_object

    def spoiled(location: str) -> bytes:
        return b"damaged" if "/D2/" in location else read(location)

    monkeypatch.setattr(type(catalog._calls), "read_object", lambda self, where: spoiled(where))
    with caplog.at_level(logging.WARNING):
        found = catalog.list_datasets(prefetch_metadata=True)
    assert "D2" in caplog.text
    assert [d.metadata()["n"] for d in found if d.dataset_id != "D2"] == [0, 1, 3, 4]
    with pytest.raises(StorageError):
        found[2].metadata()


# Credentials


def test_21_another_key_never_uses_the_credentials_of_the_first(
    catalog: Catalog, csv: Path, atlas: RunningAtlas
) -> None:
    created = catalog.create_dataset("GSE1", "T", csv, {"n": 1})
    first = Polly.get_session().transport().credentials
    Polly.auth(atlas.read_key)
    assert Polly.get_session().transport().credentials is not first
    assert catalog.get_dataset("GSE1").metadata() == {"n": 1}
    with pytest.raises(AccessDenied):
        catalog.update_dataset("GSE1", data=csv)
    assert created.metadata() == {"n": 1}


def test_21_cold_threads_send_one_request() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(201, tokens(), delay=0.1)

    with serving(answer=answer) as stub:
        catalog = stub_catalog(stub)
        threads = [threading.Thread(target=catalog._calls.grant) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stub.asked) == 1
        catalog.clear_token_cache()
        catalog._calls.grant()
        assert len(stub.asked) == 2


def test_22_access_is_checked_before_data_is_copied(
    catalog: Catalog, csv: Path, atlas: RunningAtlas
) -> None:
    catalog.create_dataset("GSE1", "T", csv, {"n": 1})
    other = atlas.new_atlas()
    Polly.auth(atlas.read_key)
    with pytest.raises(AccessDenied):
        copy_dataset(catalog.omixatlas_id, "GSE1", other, "C")
    with pytest.raises(AccessDenied):
        catalog.update_dataset("GSE1", metadata={})
    Polly.auth(atlas.api_key)
    there = Catalog(other)
    lost = there._calls.grant()
    with pytest.raises(StorageError):
        there._calls.read_object(f"s3://{lost.bucket}/{lost.prefix}/v2/C/C.csv")


# Manners


def test_23_nothing_is_printed_and_nothing_looked_up(
    catalog: Catalog, csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created = catalog.create_dataset("GSE1", "T", csv, {})
    copy_dataset(catalog.omixatlas_id, "GSE1", catalog.omixatlas_id, "C")
    created.download(csv.with_name("d"))
    catalog.list_datasets(prefetch_metadata=True)
    assert capsys.readouterr() == ("", "")


def test_23_authorizing_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Polly.auth("key")
    Polly.default_session = None


def test_23_importing_changes_nothing_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "import polly_core.auth, polly_core.data_management, polly_core.threading_utils\n"
        "import polly_core.catalog.connect\n"
        "heavy = {'pandas', 'anndata', 'cmapPy', 'boto3', 'botocore', 'h5py', 'pyarrow', 'numpy',"
        " 'requests'}\n"
        "assert not hasattr(sys, 'tracebacklimit')\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
