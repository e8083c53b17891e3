"""The one way to the service, against a stub that misbehaves."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from polly_core.errors import (
    BadRequest,
    CannotProceed,
    CatalogError,
    Conflict,
    InvalidInput,
    NoConnection,
    NotFound,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
    RequestRejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from polly_core.transport.session import (
    Channel,
    ReadSession,
    WriteSession,
    bucket_region,
    encode_body,
    segment,
)
from tests.transport.stub import (
    KEY,
    LOST,
    Asked,
    Reply,
    Stub,
    Waits,
    error,
    retrier,
    service,
    serving,
)

OK = Reply(200, {"data": []})


def reads(stub: Stub, waits: Waits) -> ReadSession:
    return ReadSession(Channel(service(stub.url)), retrier(waits))


def writes(stub: Stub, waits: Waits, *, retry_writes: bool = True) -> WriteSession:
    channel = Channel(service(stub.url))
    return WriteSession(channel, retrier(waits), retry_writes=retry_writes)


def test_every_request_carries_what_the_protocol_wants() -> None:
    with serving(OK, OK) as stub:
        session = writes(stub, Waits())
        session.get("/repositories/9/datasets")
        session.patch("/repositories/9/datasets/GSE1", {"data": {"ä": "\ud800"}})
    for asked in stub.asked:
        assert asked.headers["x-api-key"] == KEY
        assert asked.headers["content-type"] == "application/vnd.api+json"
        assert asked.headers["accept-encoding"] == "gzip"
        assert asked.headers["user-agent"].startswith("polly-bulk/")
    assert stub.asked[1].body == b'{"data":{"\\u00e4":"\\ud800"}}'


def test_compressed_answers_are_unpacked() -> None:
    packed = Reply(200, {"data": "x" * 500}, {"Content-Encoding": "gzip"}, packed=True)
    with serving(packed) as stub:
        assert reads(stub, Waits()).get("/x").body == b'{"data": "' + b"x" * 500 + b'"}'


def test_one_connection_serves_many_requests() -> None:
    with serving(answer=lambda asked: OK) as stub:
        session = reads(stub, Waits())
        for _ in range(5):
            session.get("/x")
        assert len(stub.asked) == 5
        assert len({asked.client for asked in stub.asked}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        LOST,
        Reply(200, {"data": []}, cut=10),
        error(500),
        error(502),
        error(503, Retry_After="2"),
        error(429, Retry_After="2"),
        error(429),
        error(408),
    ],
)
def test_reads_are_repeated(bad: Reply) -> None:
    waits = Waits()
    with serving(bad, bad, OK) as stub:
        assert reads(stub, waits).get("/x").ok
    assert len(stub.asked) == 3
    assert len(waits.slept) == 2
    if "Retry-After" in bad.headers:
        assert min(waits.slept) >= 2.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_reads_that_are_refused_are_not_repeated(status: int) -> None:
    waits = Waits()
    with serving(error(status)) as stub, pytest.raises(CatalogError) as caught:
        reads(stub, waits).get("/x")
    assert caught.value.status == status
    assert waits.slept == []


def test_an_exhausted_read_keeps_status_and_text_of_the_last_answer() -> None:
    waits = Waits()
    with serving(answer=lambda asked: error(503, "Sorry", "in an hour")) as stub:
        with pytest.raises(ReadFailed, match="in an hour") as caught:
            reads(stub, waits).get("/repositories/9/datasets?page[size]=3")
        assert len(stub.asked) == 6
    assert caught.value.status == 503
    assert caught.value.title == "Sorry"
    assert "/repositories/9/datasets" in caught.value.detail


def test_a_throttled_read_is_a_failed_read_in_the_end() -> None:
    waits = Waits()
    always = error(429, Retry_After="50")
    with serving(answer=lambda asked: always) as stub, pytest.raises(ReadFailed) as caught:
        reads(stub, waits).get("/x")
    assert caught.value.retry_after == 50.0
    # The fourth wait would end after the total time that is allowed.
    assert len(waits.slept) == 3


def test_session_tokens_are_repeated_though_they_are_posted() -> None:
    waits = Waits()
    with serving(LOST, error(500), OK) as stub:
        assert reads(stub, waits).post_session_tokens({"data": {}}).ok
    assert [asked.path for asked in stub.asked] == ["/session-tokens"] * 3
    assert {asked.body for asked in stub.asked} == {b'{"data":{}}'}


@pytest.mark.parametrize(
    "bad", [error(429), error(429, Retry_After="1"), error(503, Retry_After="1")]
)
@pytest.mark.parametrize("method", ["post", "patch", "delete"])
def test_writes_that_did_not_happen_are_repeated(bad: Reply, method: str) -> None:
    waits = Waits()
    with serving(bad, OK) as stub:
        session = writes(stub, waits)
        sent = session.delete("/x") if method == "delete" else getattr(session, method)("/x", {})
        assert sent.ok
    assert len(stub.asked) == 2
    assert stub.asked[0].body == stub.asked[1].body


@pytest.mark.parametrize(
    "bad",
    [
        LOST,
        Reply(200, {"data": []}, cut=10),
        Reply(delay=2.5),
        error(500),
        error(502),
        error(503),
        error(504),
        error(408),
    ],
)
def test_writes_that_may_have_happened_are_never_repeated(bad: Reply) -> None:
    waits = Waits()
    with serving(bad, OK) as stub:
        session = WriteSession(Channel(service(stub.url, read_timeout=0.4)), retrier(waits))
        with pytest.raises(OutcomeUnknown) as caught:
            session.patch("/repositories/9/datasets/GSE1", {"data": {}})
        assert len(stub.asked) == 1
    assert not caught.value.outcome_known
    assert waits.slept == []
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (error(429), Throttled),
        (error(503, Retry_After="1"), Unavailable),
        (error(409), Conflict),
        (error(500), OutcomeUnknown),
    ],
)
def test_a_single_send_is_single(bad: Reply, kind: type[CatalogError]) -> None:
    waits = Waits()
    with serving(bad) as stub, pytest.raises(kind):
        writes(stub, waits, retry_writes=False).patch("/x", {})
    assert len(stub.asked) == 1
    assert waits.slept == []


def test_a_locked_atlas_is_told_at_once() -> None:
    waits = Waits()
    locked = error(403, "Repository Locked", "try later")
    with serving(locked, locked) as stub:
        with pytest.raises(RepositoryLocked):
            writes(stub, waits).patch("/x", {})
        with pytest.raises(RepositoryLocked):
            reads(stub, waits).get("/x")
    assert waits.slept == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_no_connection_did_not_happen_and_is_repeated() -> None:
    waits = Waits()
    session = WriteSession(Channel(service(f"http://127.0.0.1:{free_port()}")), retrier(waits))
    with pytest.raises(NoConnection, match=r"127\.0\.0\.1") as caught:
        session.patch("/x", {})
    assert len(waits.slept) == 5
    assert caught.value.outcome_known
    with pytest.raises(ReadFailed, match="No connection"):
        session.get("/x")


def test_a_name_that_does_not_resolve_is_no_connection() -> None:
    session = WriteSession(
        Channel(service("http://does-not-exist.invalid")), retrier(Waits(), retries=0)
    )
    with pytest.raises(NoConnection, match=r"does-not-exist\.invalid"):
        session.patch("/x", {})


def test_a_server_that_speaks_no_http_leaves_a_write_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        session = WriteSession(Channel(service(url)), retrier(Waits()))
        with pytest.raises(OutcomeUnknown):
            session.patch("/x", {})
        thread.join()


def test_a_hanging_server_does_not_hold_us_up() -> None:
    with serving(answer=lambda asked: Reply(delay=3.0)) as stub:
        session = ReadSession(
            Channel(service(stub.url, read_timeout=0.2)), retrier(Waits(), retries=1)
        )
        started = time.monotonic()
        with pytest.raises(ReadFailed, match="lost"):
            session.get("/x")
        assert time.monotonic() - started < 2.0


def test_a_connection_that_was_closed_meanwhile_is_not_used_for_a_write() -> None:
    waits = Waits()
    with serving(Reply(200, {}, drop=True), Reply(200, {}, drop=True), OK) as stub:
        session = writes(stub, waits)
        for _ in range(3):
            time.sleep(0.1)
            assert session.patch("/x", {}).ok
        assert len({asked.client for asked in stub.asked}) == 3
    assert waits.slept == []


def test_a_service_that_closes_after_each_answer_is_served() -> None:
    with serving(answer=lambda asked: Reply(200, {}, {"Connection": "close"})) as stub:
        session = writes(stub, Waits())
        assert all(session.patch("/x", {}).ok for _ in range(3))


def test_damaged_compression_is_a_lost_answer() -> None:
    bad = Reply(200, b"no gzip", {"Content-Encoding": "gzip"})
    with serving(bad, bad) as stub:
        with pytest.raises(OutcomeUnknown):
            writes(stub, Waits()).patch("/x", {})
        with pytest.raises(ReadFailed):
            ReadSession(Channel(service(stub.url)), retrier(Waits(), retries=0)).get("/x")


def test_an_untrusted_certificate_stops_at_once(tmp_path: Path) -> None:
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=shake)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        waits = Waits()
        with pytest.raises(CannotProceed, match="certificate"):
            ReadSession(Channel(service(url)), retrier(waits)).get("/x")
        thread.join()
    assert waits.slept == []


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/d?page[size]=3&page[after]=a%2Fb==", "/d?page%5Bsize%5D=3&page%5Bafter%5D=a%2Fb=="),
        ("/d?x=ä b", "/d?x=%C3%A4%20b"),
    ],
)
def test_links_of_the_service_arrive_as_they_are_meant(path: str, target: str) -> None:
    with serving(OK) as stub:
        reads(stub, Waits()).get(path)
    assert stub.paths() == [target]


def test_redirects_of_reads_are_followed_within_the_service() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/old?a=1":
            return Reply(307, b"", {"Location": "/new?a=1"})
        if asked.path == "/new?a=1":
            return Reply(301, b"", {"Location": f"{stub.url}/newest"})
        return OK

    with serving(answer=answer) as stub:
        assert reads(stub, Waits()).get("/old?a=1").ok
        assert stub.paths() == ["/old?a=1", "/new?a=1", "/newest"]


def test_a_circle_of_redirects_ends() -> None:
    with serving(answer=lambda asked: Reply(302, b"", {"Location": "/x"})) as stub:
        session = ReadSession(Channel(service(stub.url)), retrier(Waits(), retries=0))
        with pytest.raises(ReadFailed, match="redirects"):
            session.get("/x")
        assert len(stub.asked) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_reaches_no_other_host(status: int) -> None:
    with serving(answer=lambda asked: OK) as other:
        away = Reply(status, b"", {"Location": f"{other.url}/steal"})
        with serving(answer=lambda asked: away) as stub:
            session = WriteSession(Channel(service(stub.url)), retrier(Waits(), retries=0))
            with pytest.raises(CatalogError, match=r"points to|HTTP 30[23]"):
                session.get("/x")
            with pytest.raises(CatalogError):
                session.patch("/x", {})
        assert other.asked == []


def test_redirects_of_writes_are_not_followed() -> None:
    with serving(Reply(307, b"", {"Location": "/new"})) as stub, pytest.raises(RequestRejected):
        writes(stub, Waits()).patch("/x", {})
    assert stub.paths() == ["/x"]


def test_a_base_with_a_path_keeps_it() -> None:
    with serving(OK) as stub:
        ReadSession(Channel(service(f"{stub.url}/mounted/here/")), retrier(Waits())).get("/x")
    assert stub.paths() == ["/mounted/here/x"]


def test_a_401_has_one_class_with_or_without_a_document() -> None:
    with serving(error(401), Reply(401, {"message": "Unauthorized"})) as stub:
        session = reads(stub, Waits())
        for _ in range(2):
            with pytest.raises(Unauthorized):
                session.get("/x")


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "a\\b", "a\nb"])
def test_no_part_of_a_path_leads_elsewhere(text: str) -> None:
    with pytest.raises(InvalidInput):
        segment(text)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a#1.csv", "a%231.csv"),
        ("a?b", "a%3Fb"),
        ("%41", "%2541"),
        ("ä ", "%C3%A4%20"),
    ],
)
def test_parts_of_a_path_arrive_as_they_are(text: str, quoted: str) -> None:
    assert segment(text) == quoted
    with serving(OK) as stub:
        reads(stub, Waits()).get(f"/files/{segment(text)}")
    assert stub.paths() == [f"/files/{quoted}"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_is_no_json_is_not_sent(value: object) -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        encode_body({"a": value})  # type: ignore[dict-item]


def test_threads_share_the_pool() -> None:
    with serving(answer=lambda asked: OK) as stub:
        session = reads(stub, Waits())
        threads = [threading.Thread(target=session.get, args=(f"/{n}",)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(stub.paths()) == sorted(f"/{n}" for n in range(24))
        assert len({asked.client for asked in stub.asked}) <= 8


def test_the_region_of_a_bucket_is_asked_for_without_a_key() -> None:
    with serving(Reply(301, b"", {"x-amz-bucket-region": "eu-west-1"}), Reply(403, b"")) as stub:
        assert bucket_region("b", 1, 1, store_url=stub.url) == "eu-west-1"
        assert bucket_region("b", 1, 1, store_url=stub.url) == "us-east-1"
    assert [(a.method, a.path) for a in stub.asked] == [("HEAD", "/b")] * 2
    assert all("x-api-key" not in asked.headers for asked in stub.asked)


@pytest.mark.parametrize("kind", [NotFound, BadRequest])
def test_errors_carry_their_status(kind: type[CatalogError]) -> None:
    status = {NotFound: 404, BadRequest: 400}[kind]
    with serving(error(status, "T", "D")) as stub, pytest.raises(kind) as caught:
        reads(stub, Waits()).get("/x")
    assert (caught.value.status, caught.value.title, caught.value.detail) == (status, "T", "D")
