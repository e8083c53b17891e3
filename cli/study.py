"""``polly-bulk study``: move datasets between studies."""

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given, checked
from polly_core.models.operations import StudySpec
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection

_FLAGS: Flags = {
    "--to": {"metavar": "STUDY", "help": "The study they go into."},
    "--leave": {"is_flag": True, "help": "Take them out of any study."},
}


def _describe(given: Given) -> Described:
    spec = checked(StudySpec, study_id=given["to"] or None, leave=given["leave"])
    change = spec.model_dump(mode="json")
    return Described(change=change, form={"study_id": given["to"] or "", "leave": given["leave"]})


def _check(described: Described, selection: Selection) -> None:
    by_row = selection.manifest_uri is not None or selection.failures_of is not None
    if not by_row and not any((described.form or {}).values()):
        raise click.UsageError(
            "no study is named: give --to STUDY or --leave, or a --manifest with a study_id column"
        )


commands = OperationCommands(
    operation=OperationName.STUDY,
    flags=_FLAGS,
    describe=_describe,
    check=_check,
    help="Move many datasets into a study, or out of any. --study S selects those of S; a "
    "manifest's column study_id says for each where it goes (<null>: out of any). No version is "
    "made.\n\nShows the plan and asks, then writes as a Prefect flow.",
)
command = commands.command()
