"""Keys, atlases and access."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from polly_core.errors import AccessDenied, BadRequest, InvalidInput, NotFound
from polly_core.models.catalog import AtlasId
from polly_core.server.auth import Access, AccessControl, Principal
from polly_core.server.store import Store


class Clock:
    """Stands still until told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "catalog.db")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(store: Store, clock: Clock) -> AccessControl:
    control = AccessControl(store, monotonic=clock)
    control.add_atlas("9", "Nine")
    control.add_atlas("17")
    return control


def principal(access: AccessControl, key: SecretStr) -> Principal:
    found = access.authenticate(key.get_secret_value())
    assert found is not None
    return found


def test_a_key_opens_what_it_was_made_for(access: AccessControl) -> None:
    new = access.create_key({"9": Access.WRITE, "17": Access.READ}, label="curator")
    holder = principal(access, new.key)
    assert holder.access(AtlasId("9")) is Access.WRITE
    assert holder.access(AtlasId("17")) is Access.READ
    assert holder.access(AtlasId("18")) is None


def test_writing_one_atlas_beats_reading_all(access: AccessControl) -> None:
    holder = principal(access, access.create_key({"*": Access.READ, "9": Access.WRITE}).key)
    assert holder.access(AtlasId("9")) is Access.WRITE
    assert holder.access(AtlasId("17")) is Access.READ


def test_a_key_for_every_atlas_opens_later_ones_but_none_that_is_not(
    access: AccessControl,
) -> None:
    holder = principal(access, access.create_key({"*": Access.WRITE}).key)
    with pytest.raises(NotFound):
        access.authorize(holder, "new", write=False)
    access.add_atlas("new")
    assert access.authorize(holder, "new", write=True) == "new"
    with pytest.raises(NotFound):
        access.authorize(holder, "*", write=False)


def test_an_atlas_without_access_looks_like_none(access: AccessControl) -> None:
    holder = principal(access, access.create_key({"9": Access.READ}).key)
    with pytest.raises(NotFound) as hidden:
        access.authorize(holder, "17", write=False)
    with pytest.raises(NotFound) as absent:
        access.authorize(holder, "18", write=False)
    assert hidden.value.detail.replace("17", "18") == absent.value.detail


def test_reading_is_not_writing(access: AccessControl) -> None:
    holder = principal(access, access.create_key({"9": Access.READ}).key)
    assert access.authorize(holder, "9", write=False) == "9"
    with pytest.raises(AccessDenied):
        access.authorize(holder, "9", write=True)


def test_ids_of_atlases_are_matched_exactly(access: AccessControl) -> None:
    access.add_atlas("Rare")
    holder = principal(access, access.create_key({"*": Access.READ}).key)
    with pytest.raises(NotFound):
        access.authorize(holder, "rare", write=False)


def test_keys_are_long_and_different(access: AccessControl) -> None:
    keys = {access.create_key({"9": Access.READ}).key.get_secret_value() for _ in range(20)}
    assert len(keys) == 20
    assert min(map(len, keys)) >= 43, "256 bits in base 64"


def test_the_database_never_holds_a_key(access: AccessControl, store: Store) -> None:
    key = access.create_key({"9": Access.READ}).key.get_secret_value()
    with store.read() as connection:
        dump = connection.exec_driver_sql("SELECT * FROM keys").all()
    assert key not in str(dump)
    assert key not in repr(access.keys())


def test_nobody_else_is_let_in(access: AccessControl) -> None:
    key = access.create_key({"9": Access.READ}).key.get_secret_value()
    for wrong in ("", key[:-1], key + "x", key.swapcase(), "ключ", "\x00"):
        assert access.authenticate(wrong) is None
        assert access.remembered(wrong) is None


def test_the_whole_digest_is_compared(access: AccessControl, store: Store) -> None:
    key = access.create_key({"9": Access.READ}).key.get_secret_value()
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE keys SET digest = CAST(digest || 'x' AS BLOB)")
    assert access.authenticate(key) is None


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(
    access: AccessControl, store: Store, clock: Clock
) -> None:
    new = access.create_key({"9": Access.READ})
    key = new.key.get_secret_value()
    elsewhere = AccessControl(store, monotonic=clock)
    assert access.authenticate(key)
    assert elsewhere.authenticate(key)
    access.revoke_key(new.key_id)
    assert access.remembered(key) is None
    assert access.authenticate(key) is None
    assert elsewhere.remembered(key)
    clock.now += 1
    assert elsewhere.remembered(key) is None
    assert elsewhere.authenticate(key) is None


def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    times = iter([1, 2, 3, 4])
    access = AccessControl(store, now_ms=lambda: next(times))
    access.add_atlas("9")
    new = access.create_key({"9": Access.READ})
    access.revoke_key(new.key_id)
    access.revoke_key(new.key_id)
    (listed,) = access.keys()
    assert listed.revoked_at == 3


def test_revoking_an_unknown_key_says_where_to_look(access: AccessControl) -> None:
    with pytest.raises(InvalidInput, match="'nothing'; 'keys list' shows"):
        access.revoke_key("nothing")


def test_a_given_key_is_taken_up_once(access: AccessControl) -> None:
    given = SecretStr("an-operators-own-key-of-22-characters")
    first = access.create_key({"9": Access.WRITE}, key=given)
    again = access.create_key({"9": Access.WRITE}, key=given)
    assert first == again
    assert len(access.keys()) == 1
    assert principal(access, given).access(AtlasId("9")) is Access.WRITE


def test_a_revoked_key_does_not_come_back(access: AccessControl) -> None:
    given = SecretStr("an-operators-own-key-of-22-characters")
    access.revoke_key(access.create_key({"9": Access.READ}, key=given).key_id)
    with pytest.raises(InvalidInput, match="was revoked"):
        access.create_key({"9": Access.READ}, key=given)


@pytest.mark.parametrize("key", ["", "short", "x" * 21, "ü" * 40, "x" * 30 + "\n"])
def test_weak_or_unsendable_keys_are_refused_without_showing_them(
    access: AccessControl, key: str
) -> None:
    with pytest.raises(InvalidInput, match="at least 22 printable ASCII") as refused:
        access.create_key({"9": Access.READ}, key=SecretStr(key))
    assert not key or key not in str(refused.value)


def test_a_key_needs_atlases_that_exist(access: AccessControl) -> None:
    with pytest.raises(InvalidInput, match="at least one atlas"):
        access.create_key({})
    with pytest.raises(InvalidInput, match="no atlas 'x'; add it first"):
        access.create_key({"x": Access.READ})
    assert access.keys() == []


def test_adding_an_atlas_twice_changes_nothing(access: AccessControl) -> None:
    assert access.add_atlas("9", "Other").name == "Nine"
    assert [atlas.atlas_id for atlas in access.atlases()] == ["17", "9"]


def test_atlas_ids_differ_in_more_than_letter_case(access: AccessControl) -> None:
    access.add_atlas("Lung")
    with pytest.raises(InvalidInput, match="'LUNG' differs from the existing 'Lung' only in"):
        access.add_atlas("LUNG")


@pytest.mark.parametrize("atlas", ["", "*", "a/b", "a b", "..", "${aws:username}", "é", "9\n"])
def test_atlas_ids_are_plain(access: AccessControl, atlas: str) -> None:
    with pytest.raises(BadRequest, match="atlas id"):
        access.add_atlas(atlas)
