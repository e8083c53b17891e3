"""``polly-bulk ingest``: ask for ingestions."""

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.operations import IngestSpec
from polly_core.models.run import OperationName

_WANTED = ("file_metadata", "col_metadata", "row_metadata", "data_required")
_FLAGS: Flags = {
    "--file-metadata/--no-file-metadata": {
        "default": None,
        "help": "Index the metadata of the datasets.",
    },
    "--col-metadata/--no-col-metadata": {
        "default": None,
        "help": "Index what is said of columns (samples).",
    },
    "--row-metadata/--no-row-metadata": {
        "default": None,
        "help": "Index what is said of rows (features).",
    },
    "--data-required/--no-data-required": {"default": None, "help": "Index the data itself."},
}


def _describe(given: Given) -> Described:
    flags = {name: given[name] for name in _WANTED if given[name] is not None}
    change = IngestSpec(flags=flags).model_dump(mode="json")
    said = {name: "yes" if wanted else "no" for name, wanted in flags.items()}
    return Described(change=change, form={**said})


commands = OperationCommands(
    operation=OperationName.INGEST,
    flags=_FLAGS,
    describe=_describe,
    help="Ask for an ingestion of many datasets as they stand, once for each, most urgent "
    "first.\n\nA manifest's column priority (high, medium, low) says how urgent each is, "
    "--priority how urgent the others are. An ingestion cannot be taken back.\n\nShows the plan "
    "and asks, then writes as a Prefect flow.",
)
command = commands.command()
