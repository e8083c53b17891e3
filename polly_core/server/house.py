"""Everything one server consists of, as its routes see it."""

from concurrent.futures import Executor
from dataclasses import dataclass

from polly_core.errors import RepositoryLocked
from polly_core.models.catalog import AtlasId
from polly_core.models.wire import LOCKED_TITLE
from polly_core.server.attachments import FileService
from polly_core.server.auth import AccessControl, Principal
from polly_core.server.config import ServerSettings
from polly_core.server.rehearsal import Rehearsal
from polly_core.server.service import DatasetService
from polly_core.server.session_tokens import TokenService


@dataclass(frozen=True)
class House:
    """The services of one server."""

    settings: ServerSettings
    access: AccessControl
    datasets: DatasetService
    files: FileService
    tokens: TokenService
    rehearsal: Rehearsal
    workers: Executor
    """Threads for the rules, which wait for the database and the object store."""

    def capabilities(self) -> tuple[str, ...]:
        """What this server can do beyond the hosted protocol, as far as it is to show it."""
        return self.rehearsal.faults.capabilities

    def authorize(self, principal: Principal, atlas: AtlasId, *, write: bool) -> None:
        """Raise ``NotFound``, ``AccessDenied`` or, as rehearsed, ``RepositoryLocked``."""
        self.access.authorize(principal, atlas, write=write)
        if write and atlas in self.rehearsal.faults.locked_atlases:
            raise RepositoryLocked(LOCKED_TITLE, f"Repository {atlas!r} is locked", status=423)
