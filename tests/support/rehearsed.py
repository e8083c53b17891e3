"""A self-hosted atlas in the test's process, whose rehearsal switches are turned while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from polly_core.server.auth import AccessControl
from polly_core.server.data_folder import DataFolder
from polly_core.server.launcher import Atlas, AtlasConfig
from polly_core.server.rehearsal import Faults
from polly_core.server.store import Store

HOSTED = Faults(capabilities=())
"""Like the hosted service: no preconditions, no ingestion records, no instance id."""


class RehearsedAtlas:
    """A running atlas and its switches."""

    def __init__(self, atlas: Atlas, data_dir: Path, store: Store) -> None:
        self._atlas = atlas
        self._access = AccessControl(store)
        self.data_dir = data_dir
        self.api_url = atlas.api_url
        self.api_key = atlas.api_key.get_secret_value()

    def new_atlas(self) -> str:
        """The id of a fresh, empty atlas."""
        atlas_id = f"t{uuid4().hex[:12]}"
        self._access.add_atlas(atlas_id)
        return atlas_id

    @contextmanager
    def told(self, faults: Faults) -> Iterator[None]:
        """Let this be wrong with it, and nothing afterwards."""
        self._atlas.rehearsal.set(faults)
        try:
            yield
        finally:
            self._atlas.rehearsal.set(Faults())

    def turn(self, faults: Faults) -> None:
        """Turn the switches, within ``told``."""
        self._atlas.rehearsal.set(faults)


@contextmanager
def rehearsed_atlas(data_dir: Path) -> Iterator[RehearsedAtlas]:
    """Start one in this process, and stop it."""
    with Atlas(AtlasConfig(data_dir=data_dir)) as atlas:
        store = Store.open(DataFolder(data_dir).database)
        try:
            yield RehearsedAtlas(atlas, data_dir, store)
        finally:
            store.close()
