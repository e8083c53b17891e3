"""``polly-bulk keys``: the API keys of a self-hosted atlas, also while it runs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polly_core.errors import InvalidInput

if TYPE_CHECKING:
    from polly_core.server.auth import AccessControl
    from polly_core.server.store_access import KeyRow

_data_option = click.option(
    "--data",
    "data_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder of the atlas, as given to 'serve'.",
)
_output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group(name="keys")
def command() -> None:
    """Make, list and revoke the keys of a self-hosted atlas.

    Works while the atlas runs, which follows within a second.
    """


@command.command()
@_data_option
@click.option("--atlas", "atlases", multiple=True, metavar="ID", help="Default: every atlas.")
@click.option(
    "--access",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="Writing includes reading.",
)
@click.option("--label", default="", help="Who or what it is for.")
@_output_option
def create(data_dir: Path, atlases: tuple[str, ...], access: str, label: str, output: str) -> None:
    """Make a key and print it. It cannot be shown again."""
    from polly_core.server.auth import Access
    from polly_core.server.schema import EVERY_ATLAS

    grants = dict.fromkeys(atlases or (EVERY_ATLAS,), Access(access))
    with _access_control(data_dir) as control:
        new = control.create_key(grants, label=label)
    key = new.key.get_secret_value()
    if output == "json":
        document = {"key_id": new.key_id, "key": key, "grants": grants, "label": label}
        click.echo(json.dumps(document))
        return
    click.echo(f"key {new.key_id}: {_scope(grants)}", err=True)
    click.echo(key)


@command.command(name="list")
@_data_option
@_output_option
def list_keys(data_dir: Path, output: str) -> None:
    """List all keys, oldest first, without the keys themselves."""
    with _access_control(data_dir) as control:
        rows = control.keys()
    if output == "json":
        click.echo(json.dumps({"keys": [row.model_dump(exclude={"digest"}) for row in rows]}))
        return
    for row in rows:
        click.echo(_line(row))


@command.command()
@_data_option
@click.argument("key_id")
def revoke(data_dir: Path, key_id: str) -> None:
    """Let a key be void for good. Storage credentials it got end within an hour."""
    with _access_control(data_dir) as control:
        control.revoke_key(key_id)
    click.echo(f"revoked {key_id}", err=True)


@contextmanager
def _access_control(data_dir: Path) -> "Iterator[AccessControl]":
    from polly_core.server.auth import AccessControl
    from polly_core.server.data_folder import DataFolder
    from polly_core.server.store import Store

    database = DataFolder(data_dir).database
    if not database.exists():
        raise InvalidInput(
            f"There is no atlas in {data_dir} (no {database.name}). Check --data, or make one "
            f"with: polly-bulk serve --data {data_dir}"
        )
    store = Store.open(database)
    try:
        yield AccessControl(store)
    finally:
        store.close()


def _line(row: "KeyRow") -> str:
    made = _day(row.created_at)
    state = f"revoked {_day(row.revoked_at)}" if row.revoked_at is not None else "valid"
    return f"{row.key_id}  made {made}  {state}  {_scope(row.grants)}  {row.label}".rstrip()


def _scope(grants: Mapping[str, str]) -> str:
    from polly_core.server.schema import EVERY_ATLAS

    names = {EVERY_ATLAS: "every atlas"}
    return ", ".join(f"{access} {names.get(atlas, atlas)}" for atlas, access in grants.items())


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")
