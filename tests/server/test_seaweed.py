"""The bundled S3 server: its settings hold, and nothing it acknowledged is ever lost."""

import base64
import contextlib
import http.client
import itertools
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from polly_core.errors import CannotProceed
from polly_core.models.catalog import AtlasId
from polly_core.server import seaweed_process as system
from polly_core.server.s3 import has_versions, s3_client
from polly_core.server.seaweed import Seaweed
from polly_core.server.seaweed_config import (
    BUCKET,
    LOOPBACK,
    ROLE_ARN,
    S3_PORT,
    SeaweedConfig,
    command_line,
    environment,
    load_config,
    write_server_files,
)
from polly_core.server.tokens import StsIssuer
from tests.support.objects import download, upload

PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; afterwards no server of it is left."""
    path = tmp_path / "seaweed"
    yield path
    assert system.leftovers(path) == []
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def started(folder: Path, *, s3_port: int = 0, health_seconds: float = 5.0) -> Iterator[Seaweed]:
    server = Seaweed(folder, s3_port=s3_port, health_seconds=health_seconds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def occupied(port: int) -> Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, port))
        other.listen()
        yield


def sockets_of(config: SeaweedConfig) -> list[Path]:
    return [
        path
        for port in config.all_ports().values()
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")
    ]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def addresses(pid: int) -> set[tuple[str, int, str, str]]:
    """Local host, local port, remote host, state of every TCP socket of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(link.readlink().name)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in inodes:
                local, remote = fields[1].split(":"), fields[2].split(":")
                found.add((local[0], int(local[1], 16), remote[0], fields[3]))
    return found


def test_it_runs_with_closed_side_doors(folder: Path) -> None:
    with started(folder) as server:
        pid, config = server.pid, server.config
        assert pid is not None
        uri = upload(s3_client(server.access()), "9/secret.txt", b"for atlas 9 only")
        _check_settings(pid, folder, config)
        _check_addresses(pid, config)
        _check_side_doors(config)
        assert download(s3_client(server.access()), uri) == b"for atlas 9 only"
        assert has_versions(s3_client(server.access()), BUCKET)
        assert sockets_of(config)
    assert sockets_of(config) == []
    assert not Path(f"/proc/{pid}").exists()


def _check_settings(pid: int, folder: Path, config: SeaweedConfig) -> None:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    assert {"-master.telemetry=false", "-disableHttp", "-ip.bind=127.0.0.1"} <= set(words)
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    assert {"GOMEMLIMIT=300MiB", "GOGC=50"} <= set(variables)
    assert sum(variable.startswith("WEED_JWT_") for variable in variables) == 4
    assert not [variable for variable in variables if variable.startswith("AWS_")]
    secrets = [config.catalog.secret_key, config.vendor.secret_key, config.signing_key]
    secrets += config.jwt_keys.values()
    log = system.log_file(folder).read_text()
    for secret in secrets:
        assert secret not in " ".join(words)
        assert secret not in log
        assert secret not in repr(config)
    for name in ("config.json", "identities.json", "iam.json"):
        assert mode(folder / name) == 0o600


def _listening(pid: int) -> set[tuple[str, int]]:
    return {(host, port) for host, port, _, state in addresses(pid) if state == "0A"}


def _check_addresses(pid: int, config: SeaweedConfig) -> None:
    loopback, anywhere = "0100007F", "00000000"
    expected = {(loopback, port) for port in config.all_ports().values()}
    # It opens its admin part's port a while after the rest.
    deadline = time.monotonic() + 20
    while (listening := _listening(pid)) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert listening == expected
    # What it talks to: itself and us, nobody else (telemetry would be a connection outside).
    assert {remote for _, _, remote, _ in addresses(pid)} <= {loopback, anywhere}


def _check_side_doors(config: SeaweedConfig) -> None:
    ports = [port for flag, port in config.ports.items() if not flag.endswith("grpc")]
    paths = (
        f"/buckets/{BUCKET}/9/secret.txt",
        f"/{BUCKET}/9/secret.txt",
        "/buckets/",
        "/dir/status",
    )
    for port, path in itertools.product(ports, paths):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status in (400, 401, 403, 404, 405), (port, path, answer.status)
            assert b"for atlas 9 only" not in answer.read()
        finally:
            connection.close()


def test_it_is_the_same_after_a_restart(folder: Path) -> None:
    with started(folder) as server:
        config = server.config
        uri = upload(s3_client(server.access()), "9/a", b"kept")
        issuer = StsIssuer(server.vendor(), role_arn=ROLE_ARN)
        tokens = issuer.issue(AtlasId("9"), write=False).tokens
    with started(folder) as server:
        assert server.config == config
        assert download(s3_client(server.access(), tokens=tokens), uri) == b"kept"


def test_killed_under_load_it_comes_back_with_everything(folder: Path) -> None:
    with started(folder) as server:
        issuer = StsIssuer(server.vendor(), role_arn=ROLE_ARN)
        tokens = issuer.issue(AtlasId("9"), write=False).tokens
        with writing(server) as acknowledged:
            for _ in range(2):
                wait_for_more(acknowledged, 100)
                kill_and_wait(server)
            wait_for_more(acknowledged, 20)
        reader = s3_client(server.access(), tokens=tokens)
        assert [uri for uri, content in acknowledged if download(reader, uri) != content] == []


@contextlib.contextmanager
def writing(server: Seaweed) -> Iterator[list[tuple[str, bytes]]]:
    """Four threads that write until the end; what was acknowledged."""
    client = s3_client(server.access())
    acknowledged: list[tuple[str, bytes]] = []
    enough = threading.Event()

    def write(writer: int) -> None:
        for number in itertools.count():
            if enough.is_set():
                return
            content = random.randbytes(2000)
            with contextlib.suppress(ClientError, BotoCoreError):
                acknowledged.append((upload(client, f"9/{writer}/{number}", content), content))

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in writers:
        thread.start()
    try:
        yield acknowledged
    finally:
        enough.set()
        for thread in writers:
            thread.join()


def wait_for_more(items: list[tuple[str, bytes]], count: int) -> None:
    target = len(items) + count
    wait_for(lambda: len(items) >= target, f"{count} more writes are acknowledged")


def kill_and_wait(server: Seaweed) -> None:
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: server.ready and server.pid != killed, "another one serves")


def test_diagnosis_says_that_it_is_away(folder: Path) -> None:
    with started(folder) as server:
        assert server.diagnosis() == ""
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: "restarted" in server.diagnosis(), "it is noticed")
        wait_for(lambda: server.ready, "it serves again")


def test_hanging_it_is_replaced(folder: Path) -> None:
    with started(folder, health_seconds=0.2) as server:
        hanging = server.pid
        assert hanging is not None
        os.kill(hanging, signal.SIGSTOP)
        wait_for(lambda: server.ready and server.pid != hanging, "another one serves")


def test_a_leftover_of_a_killed_parent_is_stopped(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    config = load_config(folder, chance=random.Random())
    write_server_files(folder, config)
    command = command_line(system.find_binary(), folder.resolve(), config)
    with system.log_file(folder).open("ab") as log:
        leftover = subprocess.Popen(
            command, env=environment(folder, config), cwd=folder, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: system.leftovers(folder) == [leftover.pid], "it runs")
        reaper = threading.Thread(target=leftover.wait)
        reaper.start()
        with started(folder) as server:
            assert server.pid != leftover.pid
            assert server.config == config
        reaper.join(PATIENCE)
        assert leftover.returncode is not None
    finally:
        leftover.kill()
        leftover.wait()


def test_it_ends_with_its_parent(folder: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from polly_core.server.seaweed import Seaweed\n"
        "server = Seaweed(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())
        assert system.leftovers(folder) == [server_pid]
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: not system.leftovers(folder), "it ends")


def test_the_s3_port_in_use_is_said(folder: Path) -> None:
    port = load_config_of_new(folder).ports[S3_PORT]
    with occupied(port), pytest.raises(CannotProceed, match=rf"Port {port} .*--s3-port"):
        Seaweed(folder).start()


def test_a_given_port_in_use_is_said(folder: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotProceed, match=f"Port {port} "):
            Seaweed(folder, s3_port=port).start()


def test_an_inner_port_in_use_is_replaced(folder: Path) -> None:
    with started(folder) as server:
        config = server.config
        uri = upload(s3_client(server.access()), "9/a", b"kept")
    with occupied(config.ports["volume.port"]), started(folder) as server:
        assert server.config.ports["volume.port"] != config.ports["volume.port"]
        assert server.config.endpoint_url == config.endpoint_url
        assert download(s3_client(server.access()), uri) == b"kept"


def test_a_given_port_is_kept(folder: Path) -> None:
    port = load_config_of_new(folder).ports[S3_PORT]
    other = load_config(folder, s3_port=port + 1, chance=random.Random())
    assert other.ports[S3_PORT] == port + 1
    assert load_config(folder, chance=random.Random()) == other


def load_config_of_new(folder: Path) -> SeaweedConfig:
    return load_config(folder, chance=random.Random())


def test_ports_are_distinct_and_not_those_of_outgoing_connections(folder: Path) -> None:
    ports = load_config_of_new(folder).all_ports()
    assert len(set(ports.values())) == len(ports) == 10
    assert all(1024 < port < 32_768 for port in ports.values())


def test_a_damaged_configuration_is_said(folder: Path) -> None:
    secret = load_config_of_new(folder).catalog.secret_key
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"ports"', '"harbours"'))
    with pytest.raises(CannotProceed, match="is damaged") as raised:
        load_config_of_new(folder)
    assert str(path) in str(raised.value)
    assert secret not in str(raised.value)


def test_a_configuration_that_others_can_read_is_refused(folder: Path) -> None:
    load_config_of_new(folder)
    (folder / "config.json").chmod(0o644)
    with pytest.raises(CannotProceed, match="chmod 600"):
        load_config_of_new(folder)


def test_a_server_that_gives_up_is_said(folder: Path) -> None:
    with pytest.raises(CannotProceed, match="ended while it was starting") as raised:
        Seaweed(folder, binary=Path("/bin/false")).start()
    assert "seaweed.log" in str(raised.value)


def test_without_credentials_for_clients_it_does_not_start(folder: Path) -> None:
    config = load_config_of_new(folder)
    short = config.model_copy(update={"signing_key": base64.b64encode(b"short").decode()})
    (folder / "config.json").write_text(short.model_dump_json())
    with pytest.raises(CannotProceed, match="Asking for credentials"):
        Seaweed(folder, start_seconds=12).start()


@pytest.mark.parametrize(
    ("name", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "aarch64")]
)
def test_an_unsupported_platform_is_said(name: str, machine: str) -> None:
    with pytest.raises(CannotProceed, match="--s3-endpoint") as raised:
        system.find_binary(system=name, machine=machine)
    assert f"{name} on {machine}" in str(raised.value)


def test_a_missing_package_is_said() -> None:
    with pytest.raises(CannotProceed, match=r"no-such-package.*make setup"):
        system.find_binary(package="no-such-package")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    system.check_disk(tmp_path)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(CannotProceed, match=r"disk of .* is full: \d+ MB are free"):
        system.check_disk(tmp_path, least=2 * free)


def test_what_does_not_stop_is_killed() -> None:
    deaf = "trap '' TERM; echo ready; exec sleep 600"
    process = subprocess.Popen(["/bin/sh", "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    system.stop(process, patience=0.2)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def test_only_sockets_of_these_ports_are_swept() -> None:
    port = 65_000 + os.getpid() % 500
    ours = Path(f"/tmp/seaweedfs-s3-{port}.sock")
    others = Path(f"/tmp/seaweedfs-s3-1{port}.sock")
    plain = Path(f"/tmp/seaweedfs-note-{port}.sock")
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(str(ours))
        second.bind(str(others))
        plain.write_text("not a socket")
        try:
            system.sweep_sockets([port])
            assert [path.exists() for path in (ours, others, plain)] == [False, True, True]
        finally:
            others.unlink()
            plain.unlink()
