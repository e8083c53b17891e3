"""A whole atlas: start, stop, restart, and kill -9 at any moment."""

import os
import random
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from polly_core.errors import CannotProceed, InvalidInput
from polly_core.server.auth import AccessControl
from polly_core.server.data_folder import DataFolder
from polly_core.server.launcher import Atlas, AtlasConfig, AtlasSpec
from polly_core.server.s3 import s3_client
from polly_core.server.seaweed_process import leftovers
from polly_core.server.store import Store
from tests.support.atlas import REPOSITORY, polly_bulk, running_atlas
from tests.support.crash import CrashWriters, check_everything_resolves
from tests.support.objects import store_access, upload
from tests.support.wire import WireCaller

NINE = (AtlasSpec(atlas_id="9", name="Nine"),)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder; afterwards no server of it is left, and it is free."""
    path = tmp_path / "data"
    yield path
    assert leftovers(path / "seaweed") == []
    if path.exists():
        folder = DataFolder(path)
        folder.lock()
        folder.unlock()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_restart_keeps_everything(data: Path) -> None:
    with Atlas(AtlasConfig(data_dir=data, atlases=NINE)) as atlas:
        first = _identity(atlas)
        caller = WireCaller(atlas.api_url, atlas.api_key.get_secret_value())
        uri = upload(s3_client(store_access(data)), "9/v2/GSE1/GSE1.gct")
        assert caller.create("9", "GSE1", uri, {"organism": "mouse"}).status == 201
        caller.close()
    with Atlas(AtlasConfig(data_dir=data, atlases=(AtlasSpec(atlas_id="17"),))) as atlas:
        assert _identity(atlas) == first
        assert atlas.atlas_ids == ("17", "9")
        caller = WireCaller(atlas.api_url, atlas.read_key.get_secret_value())
        check_everything_resolves(caller, s3_client(store_access(data)), "9")
        assert [item["id"] for item in caller.listing("9")] == ["GSE1"]
        assert caller.update("9", "GSE1", {}).status == 403
        caller.close()
    assert mode(data) == 0o700
    assert mode(data / "api_key") == mode(data / "read_key") == 0o600


def _identity(atlas: Atlas) -> list[object]:
    return [
        *(atlas.api_url, atlas.s3_endpoint_url, atlas.region, atlas.instance_id),
        *(atlas.api_key, atlas.read_key),
    ]


def test_a_folder_serves_one_server_at_a_time(data: Path) -> None:
    with Atlas(AtlasConfig(data_dir=data)) as atlas:
        message = rf"{data} is in use .*process {os.getpid()}, {atlas.api_url}"
        with pytest.raises(CannotProceed, match=message), Atlas(AtlasConfig(data_dir=data)):
            pytest.fail("two servers in one folder")
        assert atlas.healthy


def test_a_port_in_use_is_said_and_nothing_is_left(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = AtlasConfig(data_dir=data, port=port)
        message = rf"127\.0\.0\.1 port {port}: Address already in use.*--port"
        with pytest.raises(CannotProceed, match=message), Atlas(config):
            pytest.fail("the port was in use")


def test_the_last_port_gives_way_when_it_is_taken(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        folder = DataFolder(data)
        folder.lock()
        folder.remember(host="127.0.0.1", port=port)
        folder.unlock()
        with Atlas(AtlasConfig(data_dir=data)) as atlas:
            assert not atlas.api_url.endswith(f":{port}")


def test_an_address_of_another_machine_is_said(data: Path) -> None:
    config = AtlasConfig(data_dir=data, host="192.0.2.1")
    with pytest.raises(CannotProceed, match=r"cannot listen on 192\.0\.2\.1"), Atlas(config):
        pytest.fail("not our address")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = AtlasConfig(data_dir=tmp_path / "file" / "data")
    with pytest.raises(CannotProceed, match="cannot be used"), Atlas(config):
        pytest.fail("a file is no folder")


@pytest.mark.parametrize("ids", [("a b",), ("",), ("9/17",), ("abc", "ABC")])
def test_ids_that_cannot_be_used_are_refused(data: Path, ids: tuple[str, ...]) -> None:
    config = AtlasConfig(data_dir=data, atlases=tuple(AtlasSpec(atlas_id=name) for name in ids))
    with pytest.raises(InvalidInput), Atlas(config):
        pytest.fail("not an id")


def test_a_given_key_is_taken_up(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a-key-of-at-least-22-characters\n")
    file.chmod(0o600)
    with Atlas(AtlasConfig(data_dir=data, atlases=NINE, api_key_file=file)) as atlas:
        assert atlas.api_key == SecretStr("a-key-of-at-least-22-characters")
        caller = WireCaller(atlas.api_url, "a-key-of-at-least-22-characters")
        assert caller.tokens("9").document["data"]["attributes"]["access_level"] == "write"
        caller.close()
    assert not (data / "api_key").exists()


@pytest.mark.parametrize(
    ("text", "permissions", "message"),
    [
        ("a-key-of-at-least-22-characters", 0o644, "chmod 600"),
        (" \n", 0o600, "is empty"),
        ("short", 0o600, "at least 22"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_said(
    data: Path, tmp_path: Path, text: str, permissions: int, message: str
) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(permissions)
    config = AtlasConfig(data_dir=data, api_key_file=file)
    with pytest.raises((CannotProceed, InvalidInput), match=message) as raised, Atlas(config):
        pytest.fail("not a key")
    assert str(file) in str(raised.value)


def test_a_revoked_key_does_not_come_back(data: Path) -> None:
    with Atlas(AtlasConfig(data_dir=data)) as atlas:
        old = atlas.api_key
    store = Store.open(data / "catalog.db")
    control = AccessControl(store)
    rows = control.keys()
    for row in rows:
        control.revoke_key(row.key_id)
    store.close()
    with (
        pytest.raises(InvalidInput, match=r"api_key .*Delete the file"),
        Atlas(AtlasConfig(data_dir=data)),
    ):
        pytest.fail("the key was revoked")
    (data / "api_key").unlink()
    (data / "read_key").unlink()
    with Atlas(AtlasConfig(data_dir=data)) as atlas:
        assert atlas.api_key != old


def test_while_the_object_store_restarts_requests_get_503(tmp_path: Path) -> None:
    with running_atlas(tmp_path / "data", "--atlas", "9") as server:
        caller = WireCaller(server.api_url, server.api_key)
        uri = upload(s3_client(store_access(server.data_dir)), "9/v2/GSE1/GSE1.gct")
        assert caller.create("9", "GSE1", uri, {"n": 0}).status == 201
        killed = server.s3_pid()
        server.kill_s3()
        refused = []
        answer = caller.update("9", "GSE1", {"n": 1})
        deadline = time.monotonic() + 60
        while answer.status != 200:
            assert answer.status == 503, answer.body
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() < deadline
            refused.append(answer)
            tokens = caller.tokens("9")
            assert tokens.status in (201, 503), tokens.body
            assert caller.call("GET", "/repositories/9/datasets/GSE1").status == 200
            answer = caller.update("9", "GSE1", {"n": 1})
        assert refused
        assert server.s3_pid() != killed
        assert (
            len(caller.call("GET", "/repositories/9/datasets/GSE1/versions").document["data"]) == 2
        )
        check_everything_resolves(caller, s3_client(store_access(server.data_dir)), "9")
        caller.close()


def _kill_rounds(tmp_path: Path, rounds: int, chance: random.Random) -> None:
    with running_atlas(tmp_path / "data", "--atlas", "9") as server:
        writers = CrashWriters(server, "9", count=4)
        before = (server.api_url, server.s3_endpoint_url, server.api_key)
        for _ in range(rounds):
            writers.run_until_killed(after=chance.uniform(0.05, 1.5))
            server.start()
            assert (server.api_url, server.s3_endpoint_url, server.api_key) == before
            writers.check()
        writers.check(everything=True)
        assert writers.acknowledged > 0


def test_killed_under_writers_it_keeps_every_acknowledged_write(tmp_path: Path) -> None:
    _kill_rounds(tmp_path, 2, random.Random())


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_killed_many_times_it_keeps_every_acknowledged_write(tmp_path: Path) -> None:
    _kill_rounds(tmp_path, 40, random.Random())


def test_killed_while_it_starts_it_starts_again(tmp_path: Path) -> None:
    with running_atlas(tmp_path / "data", "--atlas", "9") as server:
        caller = WireCaller(server.api_url, server.api_key)
        client = s3_client(store_access(server.data_dir))
        uri = upload(client, "9/v2/GSE1/GSE1.gct")
        assert caller.create("9", "GSE1", uri, {"n": 0}).status == 201
        server.kill()
        for delay in (0.5, random.uniform(1, 5)):
            with subprocess.Popen(
                polly_bulk("serve", "--data", str(server.data_dir)),
                cwd=REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as starting:
                time.sleep(delay)
                starting.kill()
        server.start()
        check_everything_resolves(caller, client, "9")
        assert [item["id"] for item in caller.listing("9")] == ["GSE1"]
        caller.close()


@pytest.mark.soak
def test_it_stops_while_the_object_store_hangs(data: Path) -> None:
    with Atlas(AtlasConfig(data_dir=data)) as atlas:
        assert atlas.s3_pid is not None
        os.kill(atlas.s3_pid, signal.SIGSTOP)
        begun = time.monotonic()
    assert time.monotonic() - begun < 40


def test_another_host_than_loopback_is_warned_of(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Atlas(AtlasConfig(data_dir=data, host="0.0.0.0")) as atlas:
        assert atlas.api_url.startswith("http://127.0.0.1:")
        assert atlas.s3_endpoint_url.startswith("http://127.0.0.1:")
    assert "--s3-endpoint" in caplog.text
