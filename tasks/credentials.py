"""Where flows and tasks get the service, the key and the ledger from: settings and a block."""

from prefect.blocks.core import Block
from prefect.runtime import deployment
from pydantic import Field, SecretStr

from polly_core.engine.request import Surroundings
from polly_core.errors import CannotProceed
from polly_core.settings import Settings
from tasks.surroundings import surroundings_from


class PollyCredentials(Block):
    """The key to a catalog service. The key is stored encrypted and never shown."""

    _block_type_name = "Polly Credentials"
    _block_type_slug = "polly-credentials"
    _description = "API key and address of a Polly catalog service."

    api_key: SecretStr = Field(title="API key", description="A key that may write the atlas.")
    api_url: str = Field(
        default="",
        title="API URL",
        description="Address of the service; empty: POLLY_API_URL of the worker.",
    )
    s3_endpoint_url: str = Field(
        default="",
        title="S3 endpoint URL",
        description="Where its objects are; empty: POLLY_S3_ENDPOINT_URL of the worker, "
        "or what the service says.",
    )


def surroundings(credentials: str = "") -> Surroundings:
    """The surroundings from the environment and, where one is named, a ``PollyCredentials`` block.

    Raises:
        CannotProceed: there is no key, no such block, or a deployment's run has no ledger to share.
    """
    settings = Settings()
    if settings.ledger_url is None and deployment.id:
        raise CannotProceed(
            "this run was started by a deployment, and its worker has no POLLY_LEDGER_URL: "
            "runs of several workers must share one ledger; set it in the work pool's or the "
            "deployment's environment (a PostgreSQL URL, or sqlite:///FILE for one machine)"
        )
    if not credentials:
        return surroundings_from(settings)
    block = _load(credentials)
    return surroundings_from(
        settings,
        api_key=block.api_key,
        api_url=block.api_url,
        s3_endpoint_url=block.s3_endpoint_url,
    )


def _load(name: str) -> PollyCredentials:
    try:
        block = PollyCredentials.load(name)
    except ValueError as error:  # what Prefect raises for a block that is not there
        raise CannotProceed(
            f"no 'Polly Credentials' block is called {name!r} on this Prefect server; "
            "save it under Blocks, or leave 'credentials' empty to use the environment"
        ) from error
    assert isinstance(block, PollyCredentials)
    return block
