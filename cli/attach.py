"""``polly-bulk attach``: attach supplementary files."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.operations import AttachSpec
from polly_core.models.run import OperationName

_FLAGS: Flags = {
    "--existing": {
        "type": click.Choice(["fail", "skip", "replace"]),
        "default": "fail",
        "show_default": True,
        "help": "When another file of that name is attached already.",
    },
    "--save-bytes": {
        "is_flag": True,
        "help": "Download files that are lost first; the report says where they are.",
    },
}


def _describe(given: Given) -> Described:
    spec = AttachSpec(existing=given["existing"], save_bytes=given["save_bytes"])
    return Described(change=spec.model_dump(mode="json"))


commands = OperationCommands(
    operation=OperationName.ATTACH,
    flags=_FLAGS,
    describe=_describe,
    by_manifest=True,
    help="Attach supplementary files by a manifest.\n\nColumns: dataset_id, file (a path, "
    "https:// or s3://), file_name (else as the file is called), file_format (else by the name), "
    "tag, link (true: the file goes when the data is replaced). Relative paths are relative to the "
    "manifest; objects of the atlas are referred to, not uploaded again.\n\nShows the plan and "
    "asks, then writes as a Prefect flow.",
)
command = commands.command()
