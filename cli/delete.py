"""``polly-bulk delete``: bulk deletion."""

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.operations import DeleteSpec
from polly_core.models.run import OperationName

_FLAGS: Flags = {
    "--save-bytes": {
        "is_flag": True,
        "help": "Download files that are lost first; the report says where they are.",
    },
}


def _describe(given: Given) -> Described:
    return Described(change=DeleteSpec(save_bytes=given["save_bytes"]).model_dump(mode="json"))


commands = OperationCommands(
    operation=OperationName.DELETE,
    flags=_FLAGS,
    describe=_describe,
    help="Delete many datasets. Their versions stay: undo brings them back with study and files, "
    "rollback without files.\n\nShows the plan and asks, then writes as a Prefect flow.",
)
command = commands.command()
