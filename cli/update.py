"""``polly-bulk update``: bulk update of metadata and data."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection
from polly_core.planning.flags import change_from_flags
from polly_core.transport.sources import given_source

_FLAGS: Flags = {
    "--change": {"metavar": "FILE", "help": "YAML or JSON file with the steps."},
    "--set": {"multiple": True, "metavar": "K=V", "help": "Give a field a value."},
    "--unset": {"multiple": True, "metavar": "K", "help": "Remove a field."},
    "--rename": {"multiple": True, "metavar": "A=B", "help": "Move a field."},
}


def _describe(given: Given) -> Described:
    flags = bool(given["set"] or given["unset"] or given["rename"])
    if given["change"] and flags:
        raise click.UsageError("--change is given beside --set, --unset or --rename; keep one kind")
    if given["change"]:
        uri = given_source(given["change"])
        return Described(change_uri=uri, form={"change_uri": uri})
    if not flags:
        return Described()
    change = change_from_flags(sets=given["set"], unsets=given["unset"], renames=given["rename"])
    return Described(change=change.to_json(), form={"change": change.to_json()})


def _check(described: Described, selection: Selection) -> None:
    if described == Described() and selection.manifest_uri is None:
        raise click.UsageError(
            "nothing is to be changed: give --change, --set, --unset or --rename, "
            "or a --manifest with metadata.* columns"
        )


commands = OperationCommands(
    operation=OperationName.UPDATE,
    flags=_FLAGS,
    describe=_describe,
    check=_check,
    help="Update the metadata, data type or data of many datasets.\n\nShows the plan and asks, "
    "then writes as a Prefect flow. With --yes it does not ask, and plans and writes shard by "
    "shard.",
)
command = commands.command()
