"""``polly-bulk serve`` and ``keys`` as somebody at a terminal, or a script, meets them."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from polly_core.server.s3 import s3_client
from tests.support.atlas import REPOSITORY, RunningAtlas, polly_bulk, running_atlas
from tests.support.objects import store_access, store_config, upload
from tests.support.wire import WireCaller

MEMBERS = ["api_url", "s3_endpoint_url", "region", "api_key", "read_key", "atlases", "pid"]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    return subprocess.run(
        polly_bulk(*arguments),
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def serve(data: Path, *flags: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        polly_bulk("serve", "--data", str(data), *flags),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def one_session(data: Path, number: signal.Signals, *flags: str) -> tuple[dict[str, Any], str]:
    """Start it, read its line, stop it: the line and what it logged."""
    server = serve(data, *flags)
    try:
        assert server.stdout is not None
        line = json.loads(server.stdout.readline())
        server.send_signal(number)
        more, logged = server.communicate(timeout=60)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert more == "", "only one line on stdout"
    return line, logged


def test_it_prints_one_line_stops_well_and_comes_back_the_same(tmp_path: Path) -> None:
    data, key_file = tmp_path / "data", tmp_path / "keys" / "api"
    flags = ("--api-key-file", str(key_file))
    line, logged = one_session(data, signal.SIGTERM, "--atlas", "9:Nine", "--atlas", "17", *flags)
    assert list(line) == MEMBERS
    assert line["atlases"] == ["17", "9"]
    assert line["region"] == "us-east-1"
    assert line["api_url"].startswith("http://127.0.0.1:")
    assert line["s3_endpoint_url"] == store_config(data).endpoint_url
    assert isinstance(line["pid"], int)
    assert key_file.read_text() == f"{line['api_key']}\n"
    assert mode(key_file) == 0o600
    assert len(line["api_key"]) >= 22
    assert line["api_key"] != line["read_key"]
    again, logged_again = one_session(data, signal.SIGINT, *flags)
    assert {**again, "pid": 0} == {**line, "pid": 0}
    config = store_config(data)
    for secret in (line["api_key"], line["read_key"], config.catalog.secret_key):
        assert secret not in logged + logged_again


def test_keys_do_what_they_say(atlas: RunningAtlas) -> None:
    own, other = atlas.new_atlas(), atlas.new_atlas()
    data = ("--data", str(atlas.data_dir))
    made = run("keys", "create", *data, "--atlas", own, "--access", "write", "--label", "curator")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    caller = WireCaller(atlas.api_url, key)
    assert caller.tokens(own).document["data"]["attributes"]["access_level"] == "write"
    assert caller.tokens(other).status == 404
    listed = json.loads(run("keys", "list", *data, "--output", "json").stdout)["keys"]
    (entry,) = [entry for entry in listed if entry["grants"] == {own: "write"}]
    assert entry["label"] == "curator"
    assert key not in json.dumps(listed)
    assert run("keys", "revoke", *data, entry["key_id"]).returncode == 0
    deadline = time.monotonic() + 10
    while caller.tokens(own).status != 401:
        assert time.monotonic() < deadline, "a revoked key is refused within a second"
        time.sleep(0.1)
    assert f"{entry['key_id']}  made" in run("keys", "list", *data).stdout
    caller.close()


def test_a_new_key_may_only_read_unless_told(atlas: RunningAtlas, atlas_id: str) -> None:
    made = run("keys", "create", "--data", str(atlas.data_dir), "--output", "json")
    document = json.loads(made.stdout)
    assert document["grants"] == {"*": "read"}
    caller = WireCaller(atlas.api_url, document["key"])
    assert caller.tokens(atlas_id).document["data"]["attributes"]["access_level"] == "read"
    caller.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "--atlas", "nowhere"), "There is no atlas 'nowhere'"),
        (("revoke", "0000000000"), "There is no key '0000000000'"),
    ],
)
def test_mistakes_with_keys_are_said(
    atlas: RunningAtlas, arguments: tuple[str, ...], message: str
) -> None:
    done = run("keys", *arguments, "--data", str(atlas.data_dir))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_keys_of_no_atlas_are_refused(tmp_path: Path) -> None:
    done = run("keys", "list", "--data", str(tmp_path))
    assert done.returncode == 2
    assert f"polly-bulk serve --data {tmp_path}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_said(atlas: RunningAtlas) -> None:
    done = run("serve", "--data", str(atlas.data_dir))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"process {atlas.pid}, {atlas.api_url}" in done.stderr
    assert "--data" in done.stderr


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        for flag in ("--port", "--s3-port"):
            done = run("serve", "--data", str(tmp_path / "data"), flag, port)
            assert (done.returncode, done.stdout) == (3, "")
            assert port in done.stderr
            assert flag in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--s3-endpoint", "http://127.0.0.1:1"), "--s3-bucket"),
        (("--s3-bucket", "b"), "--s3-endpoint"),
        (("--s3-endpoint", "127.0.0.1:1", "--s3-bucket", "b"), "is no URL"),
        (("--s3-endpoint", "http://127.0.0.1:1", "--s3-bucket", "b"), "AWS_ACCESS_KEY_ID"),
        (("--atlas", "a/b"), "--atlas 'a/b'"),
        (("--atlas", ":Name"), "--atlas ''"),
        (("--port", "70000"), "70000"),
        (("--drop-rate", "2"), "--drop-rate"),
        (("--reject-above", "0"), "--reject-above"),
        (("--delay-ms", "-1"), "--delay-ms"),
    ],
)
def test_wrong_usage_is_said(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    done = run("serve", "--data", str(tmp_path / "data"), *flags, AWS_ACCESS_KEY_ID="")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_another_s3_is_checked(tmp_path: Path) -> None:
    flags = ("--s3-endpoint", "http://127.0.0.1:1", "--s3-bucket", "some-bucket")
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "the-secret"}
    done = run("serve", "--data", str(tmp_path / "data"), *flags, **keys)
    assert (done.returncode, done.stdout) == (3, "")
    assert "some-bucket" in done.stderr
    assert "the-secret" not in done.stderr


@pytest.fixture
def rehearsing(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningAtlas]:
    with running_atlas(tmp_path / "data", "--atlas", "9", *request.param) as server:
        yield server


@pytest.mark.parametrize("rehearsing", [("--fail-rate", "1", "--delay-ms", "200")], indirect=True)
def test_it_can_be_slow_and_fail(rehearsing: RunningAtlas) -> None:
    caller = WireCaller(rehearsing.api_url, rehearsing.api_key)
    begun = time.monotonic()
    assert caller.call("GET", "/repositories/9/datasets").status == 500
    assert time.monotonic() - begun >= 0.2
    caller.close()


@pytest.mark.parametrize("rehearsing", [("--reject-above", "1", "--drop-rate", "1")], indirect=True)
def test_it_can_refuse_and_lose_answers(rehearsing: RunningAtlas) -> None:
    caller = WireCaller(rehearsing.api_url, rehearsing.api_key)
    uri = upload(s3_client(store_access(rehearsing.data_dir)), "9/v2/GSE1/GSE1.gct")
    with pytest.raises(urllib3.exceptions.ProtocolError):
        caller.create("9", "GSE1", uri, {})
    refused = caller.call("GET", "/repositories/9/datasets")
    assert (refused.status, int(refused.headers["Retry-After"])) == (429, 1)
    deadline = time.monotonic() + 30
    while (found := caller.call("GET", "/repositories/9/datasets/GSE1")).status == 429:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert found.status == 200, "the write was done, only its answer was lost"
    caller.close()


def test_help_names_every_flag() -> None:
    shown = run("serve", "--help").stdout
    flags = (
        *("--data", "--host", "--port", "--s3-port", "--atlas", "--s3-endpoint", "--s3-bucket"),
        *("--api-key-file", "--delay-ms", "--reject-above", "--fail-rate", "--drop-rate"),
    )
    assert [flag for flag in flags if flag not in shown] == []
