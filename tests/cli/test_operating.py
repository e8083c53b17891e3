"""What the commands of operations hand to their flows."""

import click
import pytest
from click.testing import CliRunner

from cli.operating import Asked
from cli.options import Running, takes_options
from cli.working import run_parameters
from flows.bulk_ingest import BulkIngest
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection


def parameters(operation: OperationName, **given: object) -> JsonObject:
    from cli.ingest import commands

    flags = dict.fromkeys(("file_metadata", "col_metadata", "row_metadata", "data_required"))
    return Asked(
        operation=operation,
        atlas="9",
        described=commands.describe({**flags, **given}),
        selection=Selection(),
        running=Running(run_id=None, options=None, dry_run=False, yes=True),
    ).parameters()


@pytest.mark.parametrize("given", [{}, {"file_metadata": True, "data_required": False}])
def test_a_description_of_nothing_fits_the_form_as_well(given: dict[str, object]) -> None:
    found = parameters(OperationName.INGEST, **given)
    form = BulkIngest.model_validate(found)
    described = form.description()["flags"]
    assert described == given


def told(*words: str) -> tuple[int, list[JsonObject], str]:
    """What a resume with these words hands to the flow."""
    given: list[JsonObject] = []

    @click.command()
    @takes_options
    def command(running: Running) -> None:
        given.append(run_parameters(running))

    result = CliRunner().invoke(command, words)
    return result.exit_code, given, result.output


def test_a_resume_tells_only_what_is_named_and_may_drop_what_is_recorded() -> None:
    assert told() == (0, [{}], "")
    assert told("--waves", "none", "--no-assert") == (0, [{"waves": "", "assertions": []}], "")
    assert told("--waves", "2,10%", "--assert", "metadata.n") == (
        0,
        [{"waves": "2,10%", "assertions": ["metadata.n"]}],
        "",
    )
    code, given, output = told("--assert", "metadata.n", "--no-assert")
    assert (code, given) == (2, [])
    assert "exclude each other" in output
