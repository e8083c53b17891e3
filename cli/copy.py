"""``polly-bulk copy``: copies of datasets, and promotion."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.operations import CopyOnExisting
from polly_core.models.run import OperationName

_FLAGS: Flags = {
    "--from": {"metavar": "ID", "required": True, "help": "The atlas that is copied from."},
    "--existing": {
        "type": click.Choice([one.value for one in CopyOnExisting]),
        "default": CopyOnExisting.FAIL.value,
        "show_default": True,
        "help": "What becomes of datasets that are at the destination already.",
    },
    "--no-files": {"is_flag": True, "help": "Leave the supplementary files of the source behind."},
    "--save-bytes": {
        "is_flag": True,
        "help": "First download files of the destination that are replaced or lost.",
    },
}


def _describe(given: Given) -> Described:
    return Described(
        change={
            "from_atlas": given["from"],
            "existing": given["existing"],
            "files": not given["no_files"],
            "save_bytes": given["save_bytes"],
        }
    )


commands = OperationCommands(
    operation=OperationName.COPY,
    flags=_FLAGS,
    describe=_describe,
    atlas_flag="--to",
    help="Copy datasets from one atlas to another of the same service, server-side, with study "
    "and supplementary files.\n\nThe selection chooses in the source; datasets keep their ids. To "
    "copy under other ids, also within one atlas, give a manifest with dataset_id (the copy) and "
    "from_dataset_id (what is copied).\n\n--existing promote compares both sides with the last "
    "copy that the ledger knows: what is new or changed only in the source is copied, what changed "
    "only at the destination is left alone, what changed on both sides is a conflict, left for a "
    "decision; of a whole atlas it also names what is gone from the source.\n\nShows the plan and "
    "asks, then writes as a Prefect flow. With --yes it does not ask, and plans and writes shard "
    "by shard.",
)
command = commands.command()
