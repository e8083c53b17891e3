"""SQL of atlases, keys and what each key may do."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from polly_core.models.catalog import AtlasId
from polly_core.models.jsonvalue import Model
from polly_core.server.schema import atlases, grants, keys


class AtlasRow(Model):
    """An atlas of this server."""

    atlas_id: AtlasId
    name: str
    created_at: int


class KeyRow(Model):
    """An API key as it is stored: never the key itself."""

    key_id: str
    digest: bytes
    label: str
    created_at: int
    revoked_at: int | None = None
    grants: dict[str, str]
    """Access by atlas id; ``*`` stands for every atlas, later ones included."""


def find_atlas(c: Connection, atlas_id: str) -> AtlasRow | None:
    """The atlas of exactly this id."""
    return _atlas(c.execute(select(atlases).where(atlases.c.atlas_id == atlas_id)).one_or_none())


def find_atlas_like(c: Connection, atlas_id: str) -> AtlasRow | None:
    """The atlas of this id in any letter case."""
    query = select(atlases).where(atlases.c.folded_id == atlas_id.lower())
    return _atlas(c.execute(query).one_or_none())


def all_atlases(c: Connection) -> list[AtlasRow]:
    """Every atlas, by id."""
    rows = c.execute(select(atlases).order_by(atlases.c.atlas_id))
    return [atlas for row in rows if (atlas := _atlas(row))]


def insert_atlas(c: Connection, atlas: AtlasRow) -> None:
    """Add an atlas."""
    c.execute(insert(atlases), {**dict(atlas), "folded_id": atlas.atlas_id.lower()})


def find_key(c: Connection, key_id: str) -> KeyRow | None:
    """One key, revoked or not."""
    row = c.execute(select(keys).where(keys.c.key_id == key_id)).mappings().one_or_none()
    if row is None:
        return None
    scope = select(grants.c.atlas_id, grants.c.access).where(grants.c.key_id == key_id)
    return KeyRow(**row, grants=dict(c.execute(scope).tuples().all()))


def all_keys(c: Connection) -> list[KeyRow]:
    """Every key, oldest first."""
    query = select(keys.c.key_id).order_by(keys.c.created_at, keys.c.key_id)
    found = (find_key(c, key_id) for key_id in c.execute(query).scalars().all())
    return [key for key in found if key is not None]


def insert_key(c: Connection, key: KeyRow) -> None:
    """Add a key and its scope."""
    c.execute(insert(keys), key.model_dump(exclude={"grants"}))
    scope = [
        {"key_id": key.key_id, "atlas_id": atlas, "access": access}
        for atlas, access in key.grants.items()
    ]
    c.execute(insert(grants), scope)


def mark_revoked(c: Connection, key_id: str, at: int) -> bool:
    """Let a key be void; False where there is no such key. A second time changes nothing."""
    if find_key(c, key_id) is None:
        return False
    c.execute(
        update(keys)
        .where(keys.c.key_id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return True


def _atlas(row: Row[Any] | None) -> AtlasRow | None:
    if row is None:
        return None
    return AtlasRow(atlas_id=row.atlas_id, name=row.name, created_at=row.created_at)
