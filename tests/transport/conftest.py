"""Transports of the shared real server."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from polly_core.transport.service import Service
from polly_core.transport.transport import Transport, open_transport
from tests.support.atlas import RunningAtlas


@pytest.fixture(scope="module")
def transport(atlas: RunningAtlas) -> Iterator[Transport]:
    """A transport with the key that may write."""
    opened = open_transport(Service(atlas.api_url, SecretStr(atlas.api_key)))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def module_atlas(atlas: RunningAtlas) -> str:
    """One atlas for the tests of a module that need not be alone in it."""
    return atlas.new_atlas()
