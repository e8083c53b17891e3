"""``polly-bulk create``: bulk creation from a manifest."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given
from polly_core.models.catalog import StudyId
from polly_core.models.operations import CreateSpec, OnExisting
from polly_core.models.run import OperationName

_FLAGS: Flags = {
    "--existing": {
        "type": click.Choice([one.value for one in OnExisting]),
        "default": OnExisting.FAIL.value,
        "show_default": True,
        "help": "When the id is there already.",
    },
    "--data-type": {"metavar": "TYPE", "help": "Of rows that name none."},
    "--study-id": {"metavar": "ID", "help": "Of rows that name none."},
    "--sample-field": {
        "metavar": "FIELD",
        "default": "sample_ids",
        "show_default": True,
        "help": "Metadata field whose sample ids must be those of the data file; '' for none.",
    },
}


def _describe(given: Given) -> Described:
    study = given["study_id"]
    spec = CreateSpec(
        existing=OnExisting(given["existing"]),
        data_type=given["data_type"] or None,
        study_id=StudyId(study) if study else None,
        sample_field=given["sample_field"],
    )
    change = spec.model_dump(mode="json")
    # In the flow's form empty text stands for what is not given.
    return Described(change=change, form={name: value or "" for name, value in change.items()})


commands = OperationCommands(
    operation=OperationName.CREATE,
    flags=_FLAGS,
    describe=_describe,
    by_manifest=True,
    help="Create many datasets from a manifest, with data, metadata and files.\n\nColumns: "
    "dataset_id, data_type, data (a path or URI), data_format, metadata.* or metadata_file, "
    "study_id, file.NAME (a supplementary file) or files (a JSON list of path, name, format, tag, "
    "link). Relative paths are relative to the manifest.\n\nEvery data file is looked into before "
    "anything is uploaded. Shows the plan and asks, then writes as a Prefect flow.",
)
command = commands.command()
