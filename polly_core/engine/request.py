"""What a run is asked to do, and the surroundings it is done in."""

from pathlib import Path

from pydantic import Field, SecretStr

from polly_core.catalog.connect import Connection
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import OperationName, RunOptions
from polly_core.models.selection import Selection


class Surroundings(Model):
    """Where the service, its objects and the ledger are. Times are seconds."""

    api_url: str
    api_key: SecretStr
    s3_endpoint_url: str | None = None
    ledger_url: str = Field(repr=False)
    """May hold a password."""
    home: Path
    connect_timeout: float = Field(default=10.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    allowed_modules: tuple[str, ...] = ()

    def connection(self, atlas_id: AtlasId, *, pool_size: int) -> Connection:
        """How to reach an atlas of the service with so many requests in flight."""
        return Connection(
            api_url=self.api_url,
            api_key=self.api_key,
            atlas_id=atlas_id,
            s3_endpoint_url=self.s3_endpoint_url,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            pool_size=pool_size,
        )


class RunRequest(Model):
    """A run to start, or to take up when its id is known to the ledger.

    To take up a run, the run id alone is enough: the rest stands in the ledger. Where the rest is
    given as well it must be the same spec.
    """

    run_id: RunId
    atlas_id: AtlasId | None = None
    operation: OperationName = OperationName.UPDATE
    change: JsonObject | None = None
    """The operation's description, inline."""
    change_uri: str | None = None
    """Or where to read it: a path, ``https://`` or ``s3://``."""
    plan_file: Path | None = None
    """Or a plan file, which is applied exactly as it is."""
    selection: Selection = Selection()
    options: RunOptions | None = None
    """None takes the defaults for a new run and the recorded ones for a known run."""
    barrier: bool = False
    flow_run_id: str | None = None

    @property
    def takes_up(self) -> bool:
        """Whether nothing but the run is named."""
        given = (self.change, self.change_uri, self.plan_file, self.atlas_id)
        return all(one is None for one in given)
