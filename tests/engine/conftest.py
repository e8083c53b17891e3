"""Rigs: a server that enforces versions, and one that does not, as the hosted service."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from polly_core.testing.fake import FakeCatalog
from tests.engine.real import RealRig
from tests.engine.rig import Rig
from tests.support.atlas import RunningAtlas
from tests.support.postgres import PostgresServer
from tests.support.rehearsed import RehearsedAtlas, rehearsed_atlas


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Over a server that enforces versions and records ingestions."""
    return Rig(tmp_path, FakeCatalog("9"))


@pytest.fixture
def hosted(tmp_path: Path) -> Rig:
    """Over a server that does neither."""
    return Rig(tmp_path, FakeCatalog("9", enforce_versions=False))


@pytest.fixture
def real(atlas: RunningAtlas, tmp_path: Path) -> RealRig:
    """Over a real server in a process of its own."""
    return RealRig(atlas, tmp_path)


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RehearsedAtlas]:
    """A real server in this process, whose switches can be turned."""
    with rehearsed_atlas(tmp_path_factory.mktemp("rehearsed") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def keeper() -> Iterator[Executor]:
    """One thread that outlives every test: a server ends with the thread that started it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="session")
def postgres(keeper: Executor) -> Iterator[PostgresServer]:
    """A real PostgreSQL, to be stopped and started by tests of ledgers that go away."""
    with PostgresServer() as server:
        yield server
