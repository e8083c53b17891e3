"""A whole self-hosted atlas in this process: folder, objects, catalog, HTTP."""

import logging
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import Field, SecretStr

from polly_core.errors import BadRequest, InvalidInput
from polly_core.models.jsonvalue import Model
from polly_core.server.app import create_app
from polly_core.server.auth import Access, AccessControl
from polly_core.server.blobs import S3Blobs
from polly_core.server.config import ServerSettings
from polly_core.server.data_folder import API_KEY_FILE, READ_KEY_FILE, DataFolder
from polly_core.server.external_s3 import check_bucket, choose_issuer
from polly_core.server.listener import Listener, listen
from polly_core.server.ports import TokenIssuer
from polly_core.server.rehearsal import Faults, Rehearsal
from polly_core.server.s3 import Diagnosis, S3Access, no_diagnosis
from polly_core.server.schema import EVERY_ATLAS
from polly_core.server.seaweed import Seaweed
from polly_core.server.seaweed_config import LOOPBACK, ROLE_ARN
from polly_core.server.store import Store
from polly_core.server.tokens import StsIssuer

log = logging.getLogger(__name__)


class AtlasSpec(Model):
    """An atlas that must exist once the server is up."""

    atlas_id: str
    name: str = ""


class AtlasConfig(Model):
    """What a self-hosted atlas is started with."""

    data_dir: Path
    """Everything it keeps. A new folder is made; an old one is taken up where it was left."""
    host: str = LOOPBACK
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes the folder's last port where it is free, else any free one."""
    s3_port: int = Field(default=0, ge=0, le=65535)
    """0 takes the folder's own one, chosen at the first start."""
    atlases: tuple[AtlasSpec, ...] = ()
    api_key_file: Path | None = None
    """Where the key for writing is read from, or written to if there is no such file."""
    external_s3: S3Access | None = None
    """Another S3 in place of the bundled one."""
    external_role_arn: str | None = None
    """The role there that temporary credentials are asked for with."""
    settings: ServerSettings = ServerSettings()
    faults: Faults = Faults()


class Objects(NamedTuple):
    """The object store of a running atlas."""

    access: S3Access
    issuer: TokenIssuer
    diagnosis: Diagnosis


class Atlas:
    """A running self-hosted atlas, as a context manager.

    Entering returns when requests are answered and objects can be written. Leaving finishes
    requests under way and stops everything; kill -9 instead loses nothing that was answered.

    Raises on entering:
        CannotProceed: the folder is in use, a port is in use, the disk is full, the S3 server
            is missing for this platform or does not start. Nothing is left running.
        InvalidInput: an atlas id or key cannot be used.
    """

    def __init__(self, config: AtlasConfig) -> None:
        self._config = config
        self._folder = DataFolder(config.data_dir)
        self._running = ExitStack()
        self._listener: Listener | None = None
        self._seaweed: Seaweed | None = None
        self.api_url = ""
        self.s3_endpoint_url = ""
        self.region = ""
        self.instance_id = ""
        self.atlas_ids: tuple[str, ...] = ()
        self.api_key = SecretStr("")
        """May read and write every atlas."""
        self.read_key = SecretStr("")
        """May read every atlas."""
        self.rehearsal = Rehearsal(config.faults)
        """May be turned while the atlas serves."""

    @property
    def healthy(self) -> bool:
        """Whether the HTTP side is up. It answers 503 while the S3 server is being restarted."""
        return self._listener is not None and self._listener.alive

    @property
    def s3_pid(self) -> int | None:
        """Process id of the bundled S3 server, while there is one."""
        return self._seaweed.pid if self._seaweed else None

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    def _start(self, starting: ExitStack) -> None:
        self._folder.lock()
        starting.callback(self._folder.unlock)
        store = Store.open(self._folder.database)
        starting.callback(store.close)
        control = AccessControl(store)
        self._admit(control)
        self.instance_id = store.instance_id
        # Taken before the slow part: a port in use is said at once.
        last = self._folder.last_start()
        server_socket = listen(
            self._config.host, self._config.port, preferred=last.port if last else 0
        )
        starting.callback(server_socket.close)
        objects = self._objects(starting)
        app = create_app(
            self._config.settings,
            store=store,
            blobs=S3Blobs(objects.access, diagnosis=objects.diagnosis),
            issuer=objects.issuer,
            access=control,
            rehearsal=self.rehearsal,
        )
        self._listener = Listener(app, server_socket)
        starting.callback(self._listener.stop)
        self._listener.start()
        port = server_socket.getsockname()[1]
        self._folder.remember(host=self._config.host, port=port)
        self.api_url = _url(self._config.host, port, self._config.settings.root_path)
        self.s3_endpoint_url = objects.access.endpoint_url
        self.region = objects.access.region

    def _admit(self, control: AccessControl) -> None:
        for atlas in self._config.atlases:
            try:
                control.add_atlas(atlas.atlas_id, atlas.name)
            except BadRequest as error:
                raise InvalidInput(f"--atlas {atlas.atlas_id!r}: {error.detail}") from error
        self.atlas_ids = tuple(atlas.atlas_id for atlas in control.atlases())
        if not self.atlas_ids:
            log.warning("there is no atlas in %s yet; add one with --atlas ID", self._folder.path)
        write_file = self._config.api_key_file or self._folder.path / API_KEY_FILE
        self.api_key = self._key(control, write_file, Access.WRITE)
        self.read_key = self._key(control, self._folder.path / READ_KEY_FILE, Access.READ)

    def _key(self, control: AccessControl, file: Path, access: Access) -> SecretStr:
        key = self._folder.key(file)
        try:
            control.create_key({EVERY_ATLAS: access}, label=f"serve: {access.value}", key=key)
        except InvalidInput as error:
            raise InvalidInput(
                f"The key in {file} cannot be used: {error}. Delete the file, and a new key is "
                "made at the next start"
            ) from error
        return key

    def _objects(self, starting: ExitStack) -> Objects:
        external = self._config.external_s3
        if external is not None:
            check_bucket(external)
            return Objects(
                external, choose_issuer(external, self._config.external_role_arn), no_diagnosis
            )
        seaweed = Seaweed(self._folder.objects, s3_port=self._config.s3_port)
        starting.callback(seaweed.stop)
        seaweed.start()
        self._seaweed = seaweed
        if self._config.host != LOOPBACK:
            log.warning(
                "the catalog listens on %s, but the bundled S3 server only on %s: clients on "
                "other machines reach no data. Use --s3-endpoint for those",
                self._config.host,
                LOOPBACK,
            )
        issuer = StsIssuer(seaweed.vendor(), role_arn=ROLE_ARN, diagnosis=seaweed.diagnosis)
        return Objects(seaweed.access(), issuer, seaweed.diagnosis)


def _url(host: str, port: int, root_path: str) -> str:
    reachable = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104
    name = f"[{reachable}]" if ":" in reachable else reachable
    return f"http://{name}:{port}{root_path}"
