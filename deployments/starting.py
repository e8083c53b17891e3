"""Starts a flow run of a deployment, once its parameters are known to fit."""

from collections.abc import Iterable, Sequence

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from deployments.parameters import Setting, assembled, check_by_flow, checked
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue

LISTED = 20


def deployment_of(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """The deployment of this name (``flow/deployment``).

    Raises:
        InvalidInput: there is none; those that are there are named.
        CannotProceed: the server does not answer.
    """
    try:
        return client.read_deployment_by_name(name)
    except (ObjectNotFound, ValueError):
        known = ", ".join(_known(client)) or "none"
        raise InvalidInput(
            f"no deployment {name!r} on {client.api_url}; there are: {known}. "
            "'polly-bulk deploy' sets ours up"
        ) from None
    except httpx.HTTPError as error:
        raise CannotProceed(f"Prefect at {client.api_url} does not answer: {error}") from error


def parameters_for(
    deployment: DeploymentResponse, documents: Iterable[JsonValue], settings: Sequence[Setting]
) -> JsonObject:
    """The whole parameters of a run: the deployment's own, changed by what is given.

    Raises:
        InvalidInput: they do not fit the deployment.
    """
    schema = deployment.parameter_openapi_schema or {}
    whole = assembled(deployment.parameters, documents, settings)
    parameters = checked(schema, whole, settings)
    check_by_flow(deployment.entrypoint or "", schema, parameters)
    return parameters


def start(
    client: SyncPrefectClient, deployment: DeploymentResponse, parameters: JsonObject
) -> FlowRun:
    """Ask for a flow run.

    Raises:
        InvalidInput: the server refuses the parameters.
        CannotProceed: it does not answer.
    """
    try:
        return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    except PrefectHTTPStatusError as error:
        if error.response.status_code in {409, 422}:
            raise InvalidInput(f"Prefect refused the parameters: {error.response.text}") from error
        raise CannotProceed(f"Prefect did not start the run: {error}") from error
    except httpx.HTTPError as error:
        raise CannotProceed(
            f"Prefect did not answer whether the run was started ({error}); look with: "
            "prefect flow-run ls"
        ) from error


def _known(client: SyncPrefectClient) -> list[str]:
    flows = {flow.id: flow.name for flow in client.read_flows()}
    found = client.read_deployments(limit=LISTED)
    return sorted(f"{flows.get(one.flow_id, '?')}/{one.name}" for one in found)
