"""A self-hosted atlas in the test's process, whose rehearsal switches are turned while it runs."""

import base64
import hashlib
import hmac
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

from polly_core.models.catalog import AtlasId
from polly_core.server.auth import AccessControl
from polly_core.server.data_folder import DataFolder
from polly_core.server.launcher import Atlas, AtlasConfig
from polly_core.server.ports import IssuedTokens
from polly_core.server.rehearsal import Faults, Rehearsal
from polly_core.server.s3 import Diagnosis, S3Access
from polly_core.server.store import Store
from polly_core.server.tokens import StsIssuer
from tests.support.objects import store_config

HOSTED = Faults(capabilities=())
"""Like the hosted service: no preconditions, no ingestion records, no instance id."""


class TokenLife:
    """How long credentials hold in truth, whatever they say of themselves."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        """None leaves them as they are."""
        self.issued = 0


class _Issuer:
    """The real issuer; the store itself refuses what it signs once the life is over.

    The store's credential service issues nothing shorter than a quarter of an hour. Its session
    tokens are signed JSON, so an earlier end can be signed into them with its own key.
    """

    def __init__(self, real: StsIssuer, life: TokenLife, data_dir: Path) -> None:
        self._real = real
        self._life = life
        self._data_dir = data_dir

    def issue(
        self, source: AtlasId, *, write: bool, destination: AtlasId | None = None
    ) -> IssuedTokens:
        found = self._real.issue(source, write=write, destination=destination)
        self._life.issued += 1
        if self._life.seconds is None:
            return found
        token = self._ending(found.tokens.SessionToken, time.time() + self._life.seconds)
        tokens = found.tokens.model_copy(update={"SessionToken": token})
        return found.model_copy(update={"tokens": tokens})

    def _ending(self, token: str, end: float) -> str:
        header, body, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        claims["exp"] = int(end)
        signed = f"{header}.{_encoded(json.dumps(claims).encode())}"
        key = base64.b64decode(store_config(self._data_dir).signing_key)
        signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_encoded(signature)}"


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class RehearsedAtlas:
    """A running atlas and its switches."""

    def __init__(self, atlas: Atlas, data_dir: Path, store: Store, tokens: TokenLife) -> None:
        self._atlas = atlas
        self._access = AccessControl(store)
        self.tokens = tokens
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

    def kill_s3(self) -> None:
        """kill -9 of its S3 server; it starts another one by itself."""
        pid = self._atlas.s3_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


@contextmanager
def rehearsed_atlas(data_dir: Path) -> Iterator[RehearsedAtlas]:
    """Start one in this process, and stop it."""
    tokens = TokenLife()

    def issuer(access: S3Access, *, role_arn: str, diagnosis: Diagnosis) -> _Issuer:
        real = StsIssuer(access, role_arn=role_arn, diagnosis=diagnosis)
        return _Issuer(real, tokens, data_dir)

    atlas = Atlas(AtlasConfig(data_dir=data_dir))
    # The same faults in every run of the tests.
    atlas.rehearsal = Rehearsal(chance=random.Random(20).random)
    with patch("polly_core.server.launcher.StsIssuer", issuer), atlas:
        store = Store.open(DataFolder(data_dir).database)
        try:
            yield RehearsedAtlas(atlas, data_dir, store, tokens)
        finally:
            store.close()
