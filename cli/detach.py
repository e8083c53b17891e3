"""``polly-bulk detach``: remove supplementary files."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import DetachSpec
from polly_core.models.run import OperationName

_FLAGS: Flags = {
    "--missing": {
        "type": click.Choice(["fail", "skip"]),
        "default": "fail",
        "show_default": True,
        "help": "When there is no such file.",
    },
    "--save-bytes": {
        "is_flag": True,
        "help": "Download files that are lost first; the report says where they are.",
    },
}


def _describe(given: Given) -> Described:
    missing, save_bytes = given["missing"], given["save_bytes"]
    spec = DetachSpec(missing=missing, save_bytes=save_bytes)
    form: JsonObject = {"absent": missing, "save_bytes": save_bytes}
    return Described(change=spec.model_dump(mode="json"), form=form)


commands = OperationCommands(
    operation=OperationName.DETACH,
    flags=_FLAGS,
    describe=_describe,
    by_manifest=True,
    help="Remove supplementary files by a manifest with columns dataset_id and file_name. How they "
    "stood is kept: undo attaches them again.\n\nShows the plan and asks, then writes as a "
    "Prefect flow.",
)
command = commands.command()
