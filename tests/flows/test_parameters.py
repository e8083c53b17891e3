"""Parameters of the flows: what they become in the core, and what they refuse."""

import pytest
from pydantic import ValidationError

from deployments.parameters import checked
from flows.bulk_update import BulkUpdate
from flows.parameters import ExecutionForm, SelectionForm
from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import Allowance, RunOptions
from polly_core.models.selection import Selection

OWN = "6a3f5d1e-0000-4000-8000-000000000001"
OTHER = "6a3f5d1e-0000-4000-8000-000000000002"
CHANGE: dict[str, object] = {"steps": [{"unset": "x"}]}


def test_the_run_is_the_flow_runs_own_unless_another_is_given() -> None:
    own = BulkUpdate.model_validate({"atlas_id": "9", "change": CHANGE}).request(OWN)
    assert (own.run_id, own.flow_run_id, own.barrier) == (OWN, OWN, True)
    given = {"atlas_id": "9", "change": CHANGE, "run": {"run_id": OTHER.upper()}}
    other = BulkUpdate.model_validate(given).request(OWN)
    assert (other.run_id, other.flow_run_id) == (OTHER, OWN)


def test_a_run_id_alone_takes_a_run_up_with_the_options_it_has() -> None:
    request = BulkUpdate.model_validate({"run": {"run_id": OTHER}}).request(OWN)
    assert request.takes_up
    assert request.options is None


def test_options_are_passed_on_when_one_is_given() -> None:
    form = ExecutionForm(concurrency=8, budget="5", tolerate="2.5%", priority="high")
    assert form.options() == RunOptions(
        concurrency=8,
        budget=Allowance(value=5),
        tolerate=Allowance(value=2.5, percent=True),
        priority="high",
    )


def test_empty_text_means_not_given() -> None:
    assert SelectionForm().selection() == Selection()
    chosen = SelectionForm(where="metadata.x == 'y'", ids=["a", "b"]).selection()
    assert (chosen.where, chosen.ids, chosen.study) == ("metadata.x == 'y'", ("a", "b"), None)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "needs atlas_id, one of change"),
        ({"atlas_id": "9"}, "needs one of change"),
        ({"change": CHANGE}, "needs atlas_id"),
        ({"atlas_id": "9", "change": CHANGE, "change_uri": "s3://b/c"}, "keep one of them"),
        ({"atlas_id": "9", "change": CHANGE, "run": {"run_id": "7"}}, "UUID"),
        ({"atlas_id": "9", "change": CHANGE, "run": {"budget": "few"}}, "expected a number"),
        ({"atlas_id": "9", "change": CHANGE, "run": {"plan_first": False}}, "set yes to true"),
        ({"atlas_id": "9", "change": CHANGE, "run": {"shard_size": 1001}}, "less than or equal"),
        ({"atlas_id": "9", "change": CHANGE, "dry_run": True}, "Extra inputs"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        BulkUpdate.model_validate(given)


def test_two_sources_of_a_selection_are_refused() -> None:
    with pytest.raises(ValidationError, match="one source"):
        SelectionForm(study="s", ids=["a"]).selection()


@pytest.mark.parametrize(
    "uri", ["https://somebody:hush@host/m.csv", "https://host/m.csv?X-Amz-Signature=hush"]
)
@pytest.mark.parametrize("field", ["change_uri", "ids_uri", "manifest_uri"])
def test_a_source_that_holds_a_secret_is_refused_without_repeating_it(uri: str, field: str) -> None:
    """By the form, and before that by the schema, which Prefect's server and CI look at."""
    named: JsonObject = {field: uri} if field == "change_uri" else {"selection": {field: uri}}
    given: JsonObject = {"atlas_id": "9", **named}
    if field != "change_uri":
        given["change"] = {"steps": [{"unset": "x"}]}
    with pytest.raises(ValidationError, match="s3:// URI") as refused:
        BulkUpdate.model_validate(given)
    assert "hush" not in str(refused.value)
    with pytest.raises(InvalidInput, match="no password, key or signature") as unfit:
        checked(BulkUpdate.model_json_schema(), given, [])
    assert "hush" not in str(unfit.value)
