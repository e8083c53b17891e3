"""What the commands of operations hand to their flows."""

import pytest

from cli.operating import Asked
from cli.options import Running
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
