"""Fixtures for every test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.atlas import RunningAtlas, running_atlas

if TYPE_CHECKING:
    from tests.support.prefect import PrefectServer


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest come first, so that the workers end at about the same time."""
    longest: dict[object, float] = {}
    for item in items:
        timeout = item.get_closest_marker("timeout")
        seconds = float(timeout.args[0]) if timeout else 0.0
        longest[item.path] = max(longest.get(item.path, 0.0), seconds)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAtlas]:
    """One real server for all tests of a worker. Take ``atlas.new_atlas()`` for each test."""
    with running_atlas(tmp_path_factory.mktemp("atlas") / "data") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def atlas_id(atlas: RunningAtlas) -> str:
    """A fresh, empty atlas on the shared server."""
    return atlas.new_atlas()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PrefectServer]":
    """One real local Prefect server for all tests of a worker."""
    # Prefect takes seconds to import; most tests do not need it.
    from tests.support.prefect import running_prefect

    with running_prefect(tmp_path_factory.mktemp("prefect")) as server:
        yield server
