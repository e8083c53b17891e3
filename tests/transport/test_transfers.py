"""Uploads, downloads and copies, against the real object store and against a stub that fails."""

import errno
import hashlib
import os
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from polly_core.errors import (
    AccessDenied,
    CannotProceed,
    InvalidInput,
    ObjectMissing,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from polly_core.transport import uploads
from polly_core.transport.credentials import Form
from polly_core.transport.s3uri import S3Uri
from polly_core.transport.service import Service
from polly_core.transport.transport import Transport, open_transport
from tests.support.atlas import RunningAtlas
from tests.transport.stub import Asked, Reply, Waits, retrier, service, serving, tokens

MIB = 1024 * 1024
FORM = Form("9")


def target(transport: Transport, atlas_id: str, name: str) -> tuple[Form, S3Uri]:
    form = Form(atlas_id)
    grant = transport.credentials.grant(form)
    return form, S3Uri(grant.bucket, f"{grant.prefix}/v2/D/{name}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 8 * MIB - 1, 8 * MIB, 17 * MIB + 5])
def test_what_goes_up_comes_down(
    transport: Transport, module_atlas: str, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    form, uri = target(transport, module_atlas, f"round-{size}")
    stored = transport.uploads.upload(form, source, uri)
    assert stored.version_id
    back = tmp_path / "new" / "folder" / "back"
    transport.downloads.download(form, str(stored), back)
    assert back.read_bytes() == source.read_bytes()
    assert names(back.parent) == ["back"]


def test_a_download_has_the_usual_mode(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    form, uri = target(transport, module_atlas, "mode")
    stored = transport.uploads.upload(form, source, uri)
    transport.downloads.download(form, str(stored), tmp_path / "back")
    assert (tmp_path / "back").stat().st_mode == source.stat().st_mode


@pytest.mark.parametrize("size", [1024, 9 * MIB])
def test_equal_content_is_not_sent_again(
    transport: Transport, module_atlas: str, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    form, uri = target(transport, module_atlas, f"same-{size}")
    first = transport.uploads.upload(form, source, uri)
    assert transport.uploads.upload(form, source, uri) == first
    source.write_bytes(os.urandom(size))
    assert transport.uploads.upload(form, source, uri) != first


def test_an_older_version_stays_what_it_was(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    form, uri = target(transport, module_atlas, "old")
    stored: list[S3Uri] = []
    for content in (b"one", b"two"):
        (tmp_path / "s").write_bytes(content)
        stored.append(transport.uploads.upload(form, tmp_path / "s", uri))
    for location, content in zip(stored, (b"one", b"two"), strict=True):
        transport.downloads.download(form, str(location), tmp_path / "d")
        assert (tmp_path / "d").read_bytes() == content


@pytest.mark.parametrize(("size", "at_once"), [(10, True), (9 * MIB, True), (9 * MIB, False)])
def test_copies_hold_the_version_that_was_named(
    transport: Transport,
    atlas: RunningAtlas,
    module_atlas: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    at_once: bool,
) -> None:
    if not at_once:
        monkeypatch.setattr(uploads, "_COPIED_AT_ONCE", MIB)
    other = atlas.new_atlas()
    content = os.urandom(size)
    (tmp_path / "s").write_bytes(content)
    form, uri = target(transport, module_atlas, f"copy-{size}-{at_once}")
    stored = transport.uploads.upload(form, tmp_path / "s", uri)
    (tmp_path / "s").write_bytes(b"newer")
    transport.uploads.upload(form, tmp_path / "s", uri)
    copying = Form(module_atlas, other)
    grant = transport.credentials.grant(copying)
    copied = transport.uploads.copy(copying, stored, S3Uri(grant.bucket, f"{grant.prefix}/v2/C/c"))
    assert copied.version_id
    transport.downloads.download(Form(other), str(copied), tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == content


def test_a_missing_object_leaves_the_target_as_it_was(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    form, uri = target(transport, module_atlas, "missing")
    old = tmp_path / "d"
    old.write_bytes(b"precious")
    with pytest.raises(ObjectMissing):
        transport.downloads.download(form, str(uri), old)
    assert old.read_bytes() == b"precious"
    assert names(tmp_path) == ["d"]


def test_a_reader_may_download_and_not_upload(
    atlas: RunningAtlas, transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    (tmp_path / "s").write_bytes(b"x")
    form, uri = target(transport, module_atlas, "shared")
    stored = transport.uploads.upload(form, tmp_path / "s", uri)
    reader = open_transport(Service(atlas.api_url, SecretStr(atlas.read_key)))
    reader.downloads.download(form, str(stored), tmp_path / "d")
    with pytest.raises(AccessDenied):
        reader.credentials.grant(form).require_write()
    with pytest.raises(StorageDenied):
        reader.uploads.upload(form, tmp_path / "s", uri)


class Store:
    """A stub store with one object, whose answers a test spoils."""

    def __init__(self, content: bytes, *, etag: str | None = None) -> None:
        self.content = content
        self.etag = etag or hashlib.md5(content).hexdigest()
        self.url = ""
        self.spoil: list[Reply] = []
        self.flips = 0
        """How often a bit of the first part arrives wrong."""
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(self.url))
        headers = {"ETag": f'"{self.etag}"', "x-amz-version-id": "v1"}
        if asked.method == "HEAD":
            # A HEAD announces a length and has no body.
            return Reply(200, None, headers, cut=len(self.content))
        with self.lock:
            if self.spoil:
                return self.spoil.pop(0)
        first, last = (int(n) for n in asked.headers["range"][6:].split("-"))
        found = self.content[first : last + 1]
        if self.flips and first == 0:
            self.flips -= 1
            found = bytes([found[0] ^ 1]) + found[1:]
        return Reply(206, found, headers)


PLACE = {"bucket_name": "bucket", "prefix": "17", "access_level": "write"}
LOCATION = "s3://bucket/9/v2/D/D.gct?versionId=v1"


def test_a_body_that_breaks_off_is_fetched_again(tmp_path: Path) -> None:
    store = Store(b"0123456789" * 100)
    store.spoil = [Reply(206, b"0123", cut=996), Reply(500, b"")]
    with serving(answer=store) as stub:
        store.url = stub.url
        open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == store.content


def test_a_body_that_always_breaks_off_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    store = Store(b"0123456789" * 100)
    store.spoil = [Reply(206, b"0123", cut=996)] * 50
    (tmp_path / "d").write_bytes(b"precious")
    with serving(answer=store) as stub:
        store.url = stub.url
        with pytest.raises(StorageUnavailable, match=r"broke off|cannot be reached"):
            open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == b"precious"
    assert names(tmp_path) == ["d"]


def test_damaged_content_is_noticed(tmp_path: Path) -> None:
    store = Store(b"0123456789", etag="0" * 32)
    with serving(answer=store) as stub:
        store.url = stub.url
        with pytest.raises(StorageError, match="damaged"):
            open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
    assert names(tmp_path) == []


def test_no_room_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(b"0123456789")
    usage = type("Usage", (), {"free": 3})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with serving(answer=store) as stub:
        store.url = stub.url
        with pytest.raises(CannotProceed, match="needs 10 bytes"):
            open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
        assert stub.paths("GET") == []


def test_a_disk_that_fills_up_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(b"0123456789")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with serving(answer=store) as stub:
        store.url = stub.url
        with pytest.raises(CannotProceed, match="no room"):
            open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
    assert names(tmp_path) == []


def test_a_tag_in_parts_that_differs_is_settled_by_reading_twice(tmp_path: Path) -> None:
    content = os.urandom(9 * MIB)
    store = Store(content, etag=f"{'0' * 32}-2")
    with serving(answer=store) as stub:
        store.url = stub.url
        transport = open_transport(service(stub.url))
        transport.downloads.download(FORM, LOCATION, tmp_path / "d")
        assert (tmp_path / "d").read_bytes() == content
        (tmp_path / "d").unlink()
        store.flips = 1
        with pytest.raises(StorageError, match="differ"):
            transport.downloads.download(FORM, LOCATION, tmp_path / "d")
    assert names(tmp_path) == []


def test_a_head_that_says_403_renews_the_credentials(tmp_path: Path) -> None:
    store = Store(b"0123456789")
    refused: list[str] = []

    def answer(asked: Asked) -> Reply:
        if asked.method == "HEAD" and not refused:
            refused.append(asked.path)
            return Reply(403)
        return store(asked)

    with serving(answer=answer) as stub:
        store.url = stub.url
        open_transport(service(stub.url)).downloads.download(FORM, LOCATION, tmp_path / "d")
        assert stub.paths("POST") == ["/session-tokens"] * 2


@pytest.mark.parametrize("failure", ["part", "complete", "interrupt"])
def test_a_failed_upload_is_aborted(
    tmp_path: Path, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = (
        "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key>"
        "<UploadId>U1</UploadId></InitiateMultipartUploadResult>"
    )

    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        if asked.method == "POST" and asked.path.endswith("?uploads"):
            return Reply(200, begun, {"Content-Type": "application/xml"})
        if asked.method == "PUT" and failure != "part":
            return Reply(200, None, {"ETag": '"x"'})
        if asked.method == "DELETE":
            return Reply(204)
        return Reply(400, "<Error><Code>InvalidPart</Code></Error>")

    source = tmp_path / "s"
    source.write_bytes(b"\0" * (9 * MIB))
    with serving(answer=answer) as stub:
        sender = open_transport(service(stub.url), retrier=retrier(Waits())).uploads
        if failure == "interrupt":

            def interrupted(*arguments: object) -> None:
                raise KeyboardInterrupt

            monkeypatch.setattr(sender, "_complete", interrupted)
        kind = KeyboardInterrupt if failure == "interrupt" else StorageError
        with pytest.raises(kind):
            sender.upload(FORM, source, S3Uri("bucket", "9/v2/D/D.gct"))
        assert stub.paths("DELETE") == ["/bucket/9/v2/D/D.gct?uploadId=U1"]


@pytest.mark.parametrize(("size", "at_once"), [(1024, True), (9 * MIB, False)])
def test_a_copy_that_is_there_is_not_made_again(
    transport: Transport,
    atlas: RunningAtlas,
    module_atlas: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    at_once: bool,
) -> None:
    if not at_once:
        monkeypatch.setattr(uploads, "_COPIED_AT_ONCE", MIB)
    other = atlas.new_atlas()
    copying = Form(module_atlas, other)
    grant = transport.credentials.grant(copying)
    there = S3Uri(grant.bucket, f"{grant.prefix}/v2/C/c")
    form, uri = target(transport, module_atlas, f"again-{size}")

    def copied(content: bytes) -> S3Uri:
        (tmp_path / "s").write_bytes(content)
        stored = transport.uploads.upload(form, tmp_path / "s", uri)
        return transport.uploads.copy(copying, stored, there, looking=Form(other))

    first = copied(b"a" * size)
    assert copied(b"a" * size) == first
    assert copied(b"b" * size) != first
    transport.downloads.download(Form(other), str(first), tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == b"a" * size


def test_a_completion_that_was_not_heard_is_found(tmp_path: Path) -> None:
    begun = "<InitiateMultipartUploadResult><UploadId>U1</UploadId></InitiateMultipartUploadResult>"
    part = "<CopyPartResult><ETag>x</ETag></CopyPartResult>"
    gone = "<Error><Code>NoSuchUpload</Code></Error>"
    marks: dict[str, str] = {}
    lost = False

    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url, copy_dest_details=PLACE))
        if asked.method == "POST" and asked.path.endswith("?uploads"):
            marks.update({k: v for k, v in asked.headers.items() if k.startswith("x-amz-meta-")})
            return Reply(200, begun, {"Content-Type": "application/xml"})
        if asked.method == "PUT":
            return Reply(200, part, {"Content-Type": "application/xml"})
        if asked.method == "POST":
            return Reply(404, gone, {"Content-Type": "application/xml"})
        source = asked.path.endswith("versionId=v1")
        headers = {"ETag": '"e"', "x-amz-version-id": "v1" if source else "v2"}
        shown = headers if source or lost else {**headers, **marks}
        return Reply(200, None, shown, cut=300 * MIB)

    with serving(answer=answer) as stub:
        source, there = S3Uri("bucket", "9/k", "v1"), S3Uri("bucket", "17/k")
        transport = open_transport(service(stub.url))
        copied = transport.uploads.copy(Form("9", "17"), source, there)
        assert copied == there._replace(version_id="v2")
        assert stub.paths("DELETE") == []
        lost = True
        with pytest.raises(StorageUnavailable, match="dropped"):
            transport.uploads.copy(Form("9", "17"), source, there)
        assert stub.paths("DELETE") == ["/bucket/17/k?uploadId=U1"]


def test_no_more_calls_at_once_than_connections(caplog: pytest.LogCaptureFixture) -> None:
    lock = threading.Lock()
    under_way, most = 0, 0

    def answer(asked: Asked) -> Reply:
        nonlocal under_way, most
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return Reply(200, None, {"ETag": '"e"', "x-amz-version-id": "v1"}, cut=1)

    with serving(answer=answer) as stub, ThreadPoolExecutor(64) as pool:
        transport = open_transport(service(stub.url, pool_size=5))
        found = list(pool.map(lambda _: transport.downloads.stat(FORM, LOCATION), range(64)))
    assert {(stat.location, stat.size, stat.etag) for stat in found} == {(LOCATION, 1, "e")}
    assert 2 <= most <= 5
    assert "pool is full" not in caplog.text


@pytest.mark.soak
def test_memory_does_not_grow_with_the_number_and_size_of_files(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    count, size = 5, 64 * MIB
    for number in range(count):
        with (tmp_path / f"s{number}").open("wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))

    def send(number: int) -> S3Uri:
        form, uri = target(transport, module_atlas, f"memory-{number}")
        return transport.uploads.upload(form, tmp_path / f"s{number}", uri)

    send(0)
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(count) as pool:
            stored = list(pool.map(send, range(count)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(uri.version_id for uri in stored)
    # Twelve parts of 8 MiB, of the 320 MiB; without a bound thirty parts would be in memory.
    assert peak < 130 * MIB


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        return Reply(200, None, {"ETag": '"0123"', "x-amz-version-id": "v"})

    (tmp_path / "s").write_bytes(b"x")
    with serving(answer=answer) as stub, pytest.raises(InvalidInput, match="changed"):
        open_transport(service(stub.url)).uploads.upload(
            FORM, tmp_path / "s", S3Uri("bucket", "9/v2/D/D.gct")
        )
