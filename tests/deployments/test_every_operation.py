"""Every operation has a flow, a task, a command and a deployment, called alike."""

from pathlib import Path
from uuid import UUID

import pytest
import yaml

from cli.main import COMMANDS
from cli.plan import OPERATIONS
from flows.bulk_block import bulk_block
from flows.catalogue import bulk_of, shard_task_of
from flows.children import DEPLOYMENT
from polly_core.models.run import OperationName

ROOT = Path(__file__).resolve().parents[2]
DECLARED = {
    one["name"]: one
    for one in yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
}


def test_nothing_else_is_deployed_but_the_blocks_of_a_run() -> None:
    assert set(DECLARED) == {operation.value for operation in OperationName} | {"block"}
    block = DECLARED["block"]
    assert block["entrypoint"] == "flows/bulk_block.py:bulk_block"
    assert bulk_block.name == DEPLOYMENT.partition("/")[0]
    assert (bulk_block.retries, bulk_block.persist_result) == (0, True)
    queues = {one["work_pool"]["work_queue_name"] for one in DECLARED.values() if one != block}
    assert block["work_pool"]["work_queue_name"] not in queues


@pytest.mark.parametrize("operation", OperationName)
def test_an_operation_can_be_used_in_every_way(operation: OperationName) -> None:
    bulk = bulk_of(operation)
    flow = bulk.flow
    assert flow.name == f"bulk-{operation}"
    assert (flow.retries, flow.persist_result) == (0, True)
    entrypoint = f"flows/bulk_{operation}.py:{flow.fn.__name__}"
    assert DECLARED[operation.value]["entrypoint"] == entrypoint
    assert DECLARED[operation.value]["description"].strip()
    form = bulk.form(run={"run_id": str(UUID(int=1))})
    assert bulk.parameters(form.model_dump()) == {next(iter(flow.parameters.properties)): form}
    task = shard_task_of(operation)
    assert (task.name, task.persist_result) == (f"{operation}-shard", False)
    assert operation.value in COMMANDS
    assert operation is OperationName.UNDO or operation.value in OPERATIONS


@pytest.mark.parametrize("operation", OperationName)
def test_every_field_of_a_form_says_what_it_is(operation: OperationName) -> None:
    """The form that Prefect draws is the manual."""
    form = bulk_of(operation).form
    assert [name for name, field in form.model_fields.items() if not field.description] == []
    names = list(form.model_json_schema()["properties"])
    assert names[0] == "atlas_id"
    assert names[-2:] == ["run", "credentials"]
