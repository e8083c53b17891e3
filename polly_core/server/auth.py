"""Atlases, API keys and who may do what (architecture: the self-hosted atlas)."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from pydantic import SecretStr

from polly_core.errors import InvalidInput
from polly_core.models.catalog import AtlasId
from polly_core.models.jsonvalue import Model
from polly_core.server import store_access as sql
from polly_core.server.documents import check_id
from polly_core.server.refusals import access_denied, not_found
from polly_core.server.schema import EVERY_ATLAS
from polly_core.server.store import Store
from polly_core.server.store_access import AtlasRow, KeyRow

_REMEMBERED_SECONDS = 1.0
_REMEMBERED_KEYS = 1024
_SHORTEST_KEY = 22
"""Characters that 128 random bits need in base 64."""


class Access(StrEnum):
    """What a key may do in an atlas. Writing includes reading."""

    READ = "read"
    WRITE = "write"


class Principal(Model):
    """Whoever holds a valid key."""

    key_id: str
    grants: Mapping[str, Access]

    def access(self, atlas_id: AtlasId) -> Access | None:
        """What this key may do in an atlas, supposing there is such an atlas."""
        levels = {self.grants.get(atlas_id), self.grants.get(EVERY_ATLAS)}
        if Access.WRITE in levels:
            return Access.WRITE
        return Access.READ if Access.READ in levels else None


class NewKey(Model):
    """A key just made. This is the only time that the key itself can be seen."""

    key_id: str
    key: SecretStr


class AccessControl:
    """Keys and atlases of one server. Thread-safe; another process may change them meanwhile.

    A revoked key is refused at once in the process that revoked it, within a second elsewhere.
    """

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._new_token = new_token
        self._lock = threading.Lock()
        self._remembered: dict[bytes, tuple[float, Principal]] = {}
        self._known_atlases: set[AtlasId] = set()

    def add_atlas(self, atlas_id: str, name: str = "") -> AtlasRow:
        """The atlas, made where it is missing.

        Raises:
            InvalidInput: not an id, or an atlas has this id in another letter case.
        """
        check_id(atlas_id, "atlas id")
        with self._store.write() as connection:
            found = sql.find_atlas_like(connection, atlas_id)
            if found is None:
                found = AtlasRow(
                    atlas_id=AtlasId(atlas_id), name=name or atlas_id, created_at=self._now_ms()
                )
                sql.insert_atlas(connection, found)
        if found.atlas_id != atlas_id:
            raise InvalidInput(
                f"Atlas id {atlas_id!r} differs from the existing {found.atlas_id!r} only in "
                "letter case; the object store could not keep them apart. Choose another id"
            )
        return found

    def atlases(self) -> list[AtlasRow]:
        """Every atlas, by id."""
        with self._store.read() as connection:
            return sql.all_atlases(connection)

    def create_key(
        self,
        grants: Mapping[str, Access],
        *,
        label: str = "",
        key: SecretStr | None = None,
    ) -> NewKey:
        """A new key, or the given one taken up, with access by atlas id (``*``: every atlas).

        A given key that is known already is left as it is, unless it was revoked.

        Raises:
            InvalidInput: no grants, an unknown atlas, or the given key is short or revoked.
        """
        token = self._new_token() if key is None else _usable(key)
        if not grants:
            raise InvalidInput("A key needs at least one atlas that it may read or write")
        new = NewKey(key_id=_key_id(_digest(token)), key=SecretStr(token))
        with self._store.write() as connection:
            for atlas_id in grants:
                if atlas_id != EVERY_ATLAS and sql.find_atlas(connection, atlas_id) is None:
                    raise InvalidInput(f"There is no atlas {atlas_id!r}; add it first")
            found = sql.find_key(connection, new.key_id)
            if found is None:
                sql.insert_key(connection, self._row(token, grants, label))
            elif found.revoked_at is not None:
                raise InvalidInput(f"The key {new.key_id} was revoked; use another one")
        return new

    def keys(self) -> list[KeyRow]:
        """Every key, oldest first, without the keys themselves."""
        with self._store.read() as connection:
            return sql.all_keys(connection)

    def revoke_key(self, key_id: str) -> None:
        """Let a key be void for good.

        Raises:
            InvalidInput: no such key.
        """
        with self._store.write() as connection:
            if not sql.mark_revoked(connection, key_id, self._now_ms()):
                raise InvalidInput(f"There is no key {key_id!r}; 'keys list' shows their ids")
        with self._lock:
            self._remembered.clear()

    def remembered(self, token: str) -> Principal | None:
        """Whoever showed this key a moment ago; does not read the database."""
        with self._lock:
            until, principal = self._remembered.get(_digest(token), (0.0, None))
        return principal if self._monotonic() < until else None

    def authenticate(self, token: str) -> Principal | None:
        """Whoever holds this key; None when it is not valid."""
        digest = _digest(token)
        now = self._monotonic()
        with self._store.read() as connection:
            row = sql.find_key(connection, _key_id(digest))
        if row is None or row.revoked_at is not None:
            return None
        if not hmac.compare_digest(row.digest, digest):
            return None
        grants = {atlas: Access(access) for atlas, access in row.grants.items()}
        principal = Principal(key_id=row.key_id, grants=grants)
        with self._lock:
            if len(self._remembered) >= _REMEMBERED_KEYS:
                self._remembered.clear()
            self._remembered[digest] = (now + _REMEMBERED_SECONDS, principal)
        return principal

    def authorize(self, principal: Principal, atlas_id: str, *, write: bool) -> AtlasId:
        """The atlas, if the key may read it, or write it.

        Raises:
            NotFound: no such atlas, or no access to it: the same answer for both.
            AccessDenied: the key may only read.
        """
        atlas = AtlasId(atlas_id)
        level = principal.access(atlas)
        if level is None or not self._exists(atlas):
            raise not_found(f"Repository {atlas_id!r} does not exist, or this key has no access")
        if write and level is not Access.WRITE:
            raise access_denied(f"This key may read repository {atlas_id!r} but not write to it")
        return atlas

    def _exists(self, atlas: AtlasId) -> bool:
        # Atlases are never removed: what was seen once need not be asked for again.
        if atlas in self._known_atlases:
            return True
        with self._store.read() as connection:
            known = sql.find_atlas(connection, atlas) is not None
        if known:
            self._known_atlases.add(atlas)
        return known

    def _row(self, token: str, grants: Mapping[str, Access], label: str) -> KeyRow:
        digest = _digest(token)
        return KeyRow(
            key_id=_key_id(digest),
            digest=digest,
            label=label,
            created_at=self._now_ms(),
            grants={atlas: access.value for atlas, access in grants.items()},
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key_id(digest: bytes) -> str:
    # Names the key to people and finds its row; a quarter of the digest gives nothing away.
    return digest[:8].hex()


def _usable(key: SecretStr) -> str:
    token = key.get_secret_value()
    if len(token) < _SHORTEST_KEY or not token.isascii() or not token.isprintable():
        raise InvalidInput(
            f"An API key needs at least {_SHORTEST_KEY} printable ASCII characters "
            f"(128 random bits), found {len(token)} characters"
        )
    return token
