"""What a contest runs in: an S3 server with metadata objects, the stub, a Prefect server."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.stub import ATLAS, CONTROL, ObjectAccess, StubConfig, put_metadata
from polly_core.models.catalog import AtlasId
from polly_core.models.jsonvalue import JsonObject, digest
from polly_core.models.wire import S3Tokens
from polly_core.server.seaweed import Seaweed
from polly_core.server.seaweed_config import ROLE_ARN
from polly_core.server.tokens import StsIssuer

TOKEN_SECONDS = 12 * 3600
NEW_FIELD = "new_field"
NEW_VALUE = "foobar"
_WORDS = (
    "expression",
    "of",
    "genes",
    "in",
    "the",
    "liver",
    "kidney",
    "lung",
    "brain",
    "tissue",
    "cells",
    "human",
    "mouse",
    "samples",
    "were",
    "sequenced",
    "after",
    "treatment",
    "with",
    "interferon",
    "control",
    "replicate",
    "differential",
    "pathway",
    "immune",
    "response",
    "tumor",
    "normal",
    "patients",
    "cohort",
    "single",
    "bulk",
    "transcriptome",
    "protein",
    "signalling",
    "receptor",
)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def process(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A background process with its output in a log; stopped at the end, killed if it must be."""
    with log.open("w") as sink:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**os.environ, **(env or {})},
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()


def wait_until(ready: Callable[[], bool], what: str, log: Path, seconds: float = 60) -> None:
    """Poll; a failure names the log to look into."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-800:]
    raise SystemExit(f"{what} was not ready after {seconds:.0f} s; end of {log}:\n{tail}")


def synthetic_metadata(number: int) -> JsonObject:
    """About 3 KB of deterministic metadata, like a study's record."""
    draw = random.Random(number)
    return {
        "accession": f"GSE{number:07d}",
        "organism": draw.choice(["human", "Homo sapiens", "mouse"]),
        "tissue": [draw.choice(_WORDS) for _ in range(3)],
        "number_samples": draw.randint(1, 400),
        "abstract": " ".join(draw.choices(_WORDS, k=260)),
        "samples": [
            {"id": f"GSM{draw.randint(10**6, 10**7)}", "age": draw.random() * 90} for _ in range(20)
        ],
    }


def changed(metadata: JsonObject) -> JsonObject:
    """The contest's change: the one of the tutorial's bulk snippet."""
    return {**metadata, NEW_FIELD: NEW_VALUE}


def seed_objects(access: ObjectAccess, count: int, index: Path) -> None:
    """Store the metadata of ``count`` datasets before and after the change, and write the index."""
    store = access.store()

    def one(number: int) -> str:
        before = synthetic_metadata(number)
        after = changed(before)
        uris = [
            put_metadata(
                store,
                access.bucket,
                f"{ATLAS}/v2/GSE{number:07d}/.metadata/{which}.json.gz",
                metadata,
            )
            for which, metadata in (("v1", before), ("v2", after))
        ]
        return json.dumps([*uris, digest(after)])

    with ThreadPoolExecutor(16) as pool, index.open("w") as lines:
        for row in pool.map(one, range(count)):
            lines.write(row + "\n")


@contextmanager
def object_store(folder: Path) -> Iterator[tuple[ObjectAccess, S3Tokens]]:
    """The bundled S3 server: the service's access, and temporary credentials of the atlas."""
    seaweed = Seaweed(folder)
    seaweed.start()
    try:
        own = seaweed.access()
        issuer = StsIssuer(seaweed.vendor(), role_arn=ROLE_ARN, life_seconds=TOKEN_SECONDS)
        access = ObjectAccess(
            endpoint_url=own.endpoint_url,
            region=own.region,
            bucket=own.bucket,
            access_key=own.access_key,
            secret_key=own.secret_key.get_secret_value(),
        )
        yield access, issuer.issue(AtlasId(ATLAS), write=True).tokens
    finally:
        seaweed.stop()


class StubControl:
    """The harness's side door to a running stub."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager()

    def reset(self, count: int) -> None:
        """Every dataset back to version one; ``count`` datasets from now on."""
        self._call(f"reset?count={count}")

    def clear(self) -> None:
        """Forget the calls, keep the datasets."""
        self._call("clear")

    def stats(self) -> dict[str, Any]:
        """What was asked since the last reset or clear."""
        return self._call("stats")

    def _call(self, action: str) -> dict[str, Any]:
        answer = self._pool.request("GET", f"{self.url}{CONTROL}{action}")
        result: dict[str, Any] = answer.json()
        return result


@contextmanager
def running_stub(config: StubConfig, folder: Path) -> Iterator[StubControl]:
    """The stub in a process of its own."""
    path = folder / "stub.json"
    path.touch(mode=0o600)
    path.write_text(config.model_dump_json())
    command = [sys.executable, "-m", "benchmarks.stub", str(path)]
    with process(command, folder / "stub.log") as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        if not url:
            raise SystemExit(f"the stub did not start, see {folder / 'stub.log'}")
        yield StubControl(url)


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A Prefect server with a database of its own; gives its API URL."""
    folder.mkdir(parents=True)
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/api"
    env = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    log = folder / "server.log"
    pool = urllib3.PoolManager(retries=False, timeout=2.0)

    def ready() -> bool:
        try:
            return pool.request("GET", f"{url}/health").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    with process(command, log, env):
        wait_until(ready, "the Prefect server", log, 120)
        pool.clear()
        yield url
