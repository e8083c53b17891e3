"""Who is let in, what becomes of errors, compression, and rehearsed faults."""

import asyncio
import gzip
import itertools
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from polly_core.errors import StorageDenied, StorageUnavailable
from polly_core.models.wire import CONTENT_TYPE
from polly_core.server.app import create_app
from polly_core.server.config import ServerSettings
from tests.server.house import R9, TestHouse, envelope
from tests.server.inprocess import Caller, ConnectionCut

EVERYWHERE = [
    ("POST", "/session-tokens"),
    ("GET", f"{R9}/datasets"),
    ("PATCH", f"{R9}/datasets/GSE1"),
    ("GET", "/repositories/none/datasets"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("PUT", f"{R9}/datasets"),
    ("OPTIONS", f"{R9}/datasets"),
    ("GET", f"{R9}/datasets/"),
]


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
@pytest.mark.parametrize("key", [None, "", "wrong", "wrong" * 1000])
def test_without_a_key_every_route_says_401_and_no_errors(
    house: TestHouse, method: str, path: str, key: str | None
) -> None:
    house.suffer(reject_above=0.001, fail_rate=1)
    answer = Caller(house.app, key).call(method, path, b"not json")
    assert answer.status == 401
    assert answer.document == {"message": "Unauthorized"}


def test_a_revoked_key_is_refused(house: TestHouse) -> None:
    assert house.writer.get(f"{R9}/datasets").status == 200
    for key in house.access.keys():  # noqa: SIM118
        house.access.revoke_key(key.key_id)
    assert house.writer.get(f"{R9}/datasets").status == 401


def test_unrouted_paths_are_error_documents(house: TestHouse) -> None:
    for path in (
        "/",
        "/docs",
        "/repositories",
        R9,
        f"{R9}/datasets/",
        f"{R9}/datasets/a/b",
        f"{R9}/datasets/a%2Fb",
        f"{R9}//datasets",
        "/repositories//datasets",
    ):
        answer = house.writer.get(path)
        assert (answer.status, answer.title) == (404, "Resource not found"), path
        assert answer.headers["content-type"] == CONTENT_TYPE


def test_a_quoted_slash_reaches_no_other_route(house: TestHouse) -> None:
    house.create("GSE1")
    for path in ("GSE1%2Fversions", "GSE1%2fversions", "GSE1%5Cversions"):
        answer = house.writer.get(f"{R9}/datasets/{path}")
        assert (answer.status, answer.title) == (404, "Resource not found"), path
    assert house.writer.get(f"{R9}/datasets/GSE1/versions").status == 200


def test_a_method_that_is_not_there_is_an_error_document(house: TestHouse) -> None:
    answer = house.writer.call("PUT", f"{R9}/datasets")
    assert (answer.status, answer.title) == (405, "Method Not Allowed")
    assert answer.document["errors"][0]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_access_comes_before_everything_else(house: TestHouse) -> None:
    big = b"x" * (16 * 1024 * 1024 + 1)
    for method, path in (
        ("POST", f"{R9}/datasets"),
        ("PATCH", f"{R9}/datasets/a%20b"),
        ("DELETE", f"{R9}/datasets/none"),
        ("POST", f"{R9}/datasets/none/supplementary_files"),
        ("DELETE", f"{R9}/datasets/none/supplementary_files/x"),
    ):
        assert house.reader.call(method, path, big).status == 403
        hidden = path.replace(R9, "/repositories/hidden")
        assert house.reader.call(method, hidden, big).status == 404
    assert house.reader.get(f"{R9}/datasets/a%20b").status == 400
    assert house.reader.get("/repositories/hidden/datasets/a%20b").status == 404


@pytest.mark.parametrize("name", ["a%20b", "a%23b", "a.b", "%C3%A9", "a" * 256, "..%00"])
def test_bad_dataset_ids_are_refused_everywhere(house: TestHouse, name: str) -> None:
    for method, rest in itertools.chain(
        itertools.product(("GET", "PATCH", "DELETE"), ("",)),
        itertools.product(("GET",), ("/versions", "/versions/v", "/supplementary_files/f")),
        itertools.product(("GET", "POST"), ("/supplementary_files",)),
    ):
        answer = house.writer.call(method, f"{R9}/datasets/{name}{rest}")
        assert (answer.status, answer.title) == (400, "Bad Request")


class TestBodies:
    @pytest.fixture
    def small(self, tmp_path: object, house: TestHouse) -> TestHouse:
        house.app.state.house = replace(
            house.app.state.house, settings=ServerSettings(body_limit=1000)
        )
        return house

    def test_an_announced_large_body_is_not_read(self, small: TestHouse) -> None:
        async def never() -> AsyncIterator[bytes]:
            pytest.fail("the body was read")
            yield b""

        call = small.writer.stream("POST", f"{R9}/datasets", never(), length=1001)
        answer = asyncio.run(call)
        assert (answer.status, answer.title) == (413, "Payload too large")
        assert "1000 bytes" in answer.detail

    @pytest.mark.parametrize("length", [None, 10])
    def test_an_unannounced_large_body_is_read_no_further_than_the_limit(
        self, small: TestHouse, length: int | None
    ) -> None:
        pieces = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal pieces
            while True:
                pieces += 1
                yield b"x" * 100

        answer = asyncio.run(
            small.writer.stream("POST", f"{R9}/datasets", endless(), length=length)
        )
        assert answer.status == 413
        assert pieces == 11

    def test_a_body_at_the_limit_is_fine(self, small: TestHouse) -> None:
        given = {"data_type": "a", "data_format": "gct", "data_s3_uri": small.data("GSE1")}
        empty = len(json.dumps(envelope("GSE1", {**given, "metadata": {"x": ""}})))
        for room, status in ((1000 - empty, 201), (1001 - empty, 413)):
            body = envelope("GSE1", {**given, "metadata": {"x": "x" * room}})
            assert small.writer.post(f"{R9}/datasets", body).status == status

    def test_a_body_in_pieces_is_put_together(self, house: TestHouse) -> None:
        given = {"data_type": "é", "data_format": "gct", "metadata": {}}
        body = json.dumps(
            envelope("GSE1", {**given, "data_s3_uri": house.data("GSE1")}), ensure_ascii=False
        ).encode()

        async def bytewise() -> AsyncIterator[bytes]:
            for byte in body:
                yield bytes([byte])

        call = house.writer.stream("POST", f"{R9}/datasets", bytewise(), length=None)
        assert asyncio.run(call).document["data"]["attributes"]["data_type"] == "é"


class TestErrors:
    def test_internals_stay_inside_and_are_found_by_their_id(
        self, house: TestHouse, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise RuntimeError("secret path /etc/shadow")

        house.blobs.before_put = fail
        with caplog.at_level(logging.ERROR):
            answer = house.create("GSE1")
        assert (answer.status, answer.title) == (500, "Internal error")
        assert b"secret" not in answer.body
        correlation = answer.headers["x-correlation-id"]
        assert correlation in answer.detail
        assert correlation in caplog.text
        assert "secret path" in caplog.text

    def test_no_key_ever_reaches_the_log(
        self, house: TestHouse, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise RuntimeError

        house.blobs.before_put = fail
        with caplog.at_level(logging.DEBUG):
            house.create("GSE1")
            house.stranger.get("/")
        assert caplog.records
        assert str(house.writer.key) not in caplog.text

    def test_a_store_that_is_away_did_nothing_and_may_be_asked_again(
        self, house: TestHouse
    ) -> None:
        def away() -> None:
            raise StorageUnavailable("connection refused to 10.0.0.1")

        house.blobs.before_put = away
        answer = house.create("GSE1")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "10.0.0.1" not in answer.detail
        house.blobs.before_put = lambda: None
        assert house.create("GSE1").status == 201

    def test_a_store_that_refuses_is_the_servers_fault(self, house: TestHouse) -> None:
        def denied() -> None:
            raise StorageDenied("no")

        house.blobs.before_put = denied
        assert house.create("GSE1").status == 500

    def test_a_client_that_goes_away_leaves_no_error(
        self, house: TestHouse, caplog: pytest.LogCaptureFixture
    ) -> None:
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"{R9}/datasets",
            "query_string": b"",
            "headers": [(b"x-api-key", str(house.writer.key).encode())],
        }
        with caplog.at_level(logging.ERROR):
            asyncio.run(house.app(scope, receive, send))
        assert not sent
        assert not caplog.records


class TestCompression:
    def test_only_when_asked(self, house: TestHouse) -> None:
        for n in range(10):
            house.create(f"GSE{n}")
        plain = house.reader.get(f"{R9}/datasets")
        assert "content-encoding" not in plain.headers
        asking = Caller(house.app, house.reader.key, headers={"accept-encoding": "gzip"})
        packed = asking.get(f"{R9}/datasets")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body

    def test_the_official_client_asks_for_none(self, house: TestHouse) -> None:
        asking = Caller(house.app, house.reader.key, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in asking.get(f"{R9}/datasets").headers


class TestMountedUnderAPrefix:
    """A base URL may have a path; links are relative to the base, so they never contain it."""

    @pytest.fixture(params=["mounted", "by the process", "by our settings"])
    def mounted(self, house: TestHouse, request: pytest.FixtureRequest) -> Caller:
        if request.param == "by our settings":
            settings = ServerSettings(root_path="/a/b")
            app = create_app(
                settings,
                store=house.store,
                blobs=house.blobs,
                issuer=house.issuer,
                access=house.access,
            )
            return replace(house.writer, app=app)
        if request.param == "mounted":
            return replace(house.writer, app=Starlette(routes=[Mount("/a/b", house.app)]))

        async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
            await house.app({**scope, "root_path": "/a/b"}, receive, send)

        return replace(house.writer, app=cut_off)

    def test_links_do_not_contain_it(self, house: TestHouse, mounted: Caller) -> None:
        for name in ("a", "b"):
            house.create(name)
        first = mounted.get(f"/a/b{R9}/datasets?page[size]=1").document
        link = first["links"]["next"]
        assert link.startswith(f"{R9}/datasets?")
        assert mounted.get(f"/a/b{link}").document["data"][0]["id"] == "b"

    def test_everything_else_works_there(self, house: TestHouse, mounted: Caller) -> None:
        house.create("a")
        patch = envelope("a", {"data_type": "new"})
        assert mounted.patch(f"/a/b{R9}/datasets/a", patch).status == 200
        assert mounted.get(f"/a/b{R9}/datasets/").status == 404
        assert mounted.call("PUT", f"/a/b{R9}/datasets").headers["allow"] == "GET, HEAD, POST"


class TestFaults:
    def test_a_delay_comes_before_the_answer(self, house: TestHouse) -> None:
        house.suffer(delay_ms=60)

        async def timed() -> float:
            loop = asyncio.get_running_loop()
            started = loop.time()
            await house.reader.send("GET", f"{R9}/datasets")
            return loop.time() - started

        assert asyncio.run(timed()) >= 0.06

    def test_above_the_rate_nothing_is_done_and_the_wait_is_named(self, house: TestHouse) -> None:
        house.suffer(reject_above=1)
        assert house.create("GSE1").status == 201
        refused = house.create("GSE2")
        assert (refused.status, refused.title) == (429, "Too many requests")
        assert refused.headers["retry-after"] == "1"
        house.monotonic += 1
        assert house.reader.get(f"{R9}/datasets/GSE2").status == 404

    def test_failures_do_nothing(self, house: TestHouse) -> None:
        house.chances = itertools.cycle([0.0, 0.9])
        house.suffer(fail_rate=0.5)
        answers = [house.create(name).status for name in ("a", "b", "c", "d")]
        assert answers == [500, 201, 500, 201]
        house.suffer()
        listed = house.reader.get(f"{R9}/datasets").document["data"]
        assert [item["id"] for item in listed] == ["b", "d"]

    def test_a_dropped_answer_was_written(self, house: TestHouse) -> None:
        house.suffer(drop_rate=1)
        with pytest.raises(ConnectionCut):
            house.create("GSE1")
        with pytest.raises(ConnectionCut):
            house.update("GSE1", data_type="new")
        answer = house.reader.get(f"{R9}/datasets/GSE1")
        assert answer.document["data"]["attributes"]["data_type"] == "new"
        with pytest.raises(ConnectionCut):
            house.writer.delete(f"{R9}/datasets/GSE1")
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 404

    def test_where_connections_cannot_be_cut_the_answer_is_a_bare_500(
        self, house: TestHouse
    ) -> None:
        house.suffer(drop_rate=1)
        house.writer.can_cut = False
        assert house.create("GSE1").status == 500
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 200

    def test_a_locked_atlas_refuses_writes_with_the_clients_title(self, house: TestHouse) -> None:
        house.create("GSE1")
        house.suffer(locked_atlases=frozenset({"9"}))
        refused = house.update("GSE1", data_type="new")
        assert (refused.status, refused.title) == (423, "Repository Locked")
        assert house.reader.get(f"{R9}/datasets/GSE1").status == 200
        assert house.create("GSE1", atlas="17").status == 201
