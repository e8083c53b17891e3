"""What the bundled S3 server is told: ports, credentials, roles and flags.

Made once for a data folder and kept in it, so that URLs and issued tokens outlive restarts.
"""

import base64
import json
import random
import secrets
import socket
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError

from polly_core.errors import CannotProceed
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.server.private_file import read_private, write_private

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
BUCKET = "omixatlas"
ROLE_ARN = "arn:aws:iam::000000000000:role/Atlas"
S3_PORT = "s3.port"
_ADMIN_PORT = "admin.port"
_ADMIN_GRPC_OFFSET = 10_000
PORT_FLAGS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    S3_PORT,
    "s3.port.grpc",
    _ADMIN_PORT,
)
# Below the range from which systems take ports for outgoing connections: a port that is
# used again at every start must not be lent to somebody's browser in between. The admin
# server takes a tenth port, this much above its own, that must stay in the range as well.
_FIRST_PORT, _LAST_PORT = 10_240, 32_000 - _ADMIN_GRPC_OFFSET
_PORT_TRIES = 200
_CONFIG_FILE = "config.json"
_IDENTITIES_FILE = "identities.json"
_IAM_FILE = "iam.json"


class KeyPair(Model):
    """S3 credentials that do not expire."""

    access_key: str
    secret_key: str = Field(repr=False)


class SeaweedConfig(Model):
    """Everything about one S3 server that must be the same at its next start."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ports: dict[str, int]
    """By flag."""
    catalog: KeyPair
    """The server's own access to objects."""
    vendor: KeyPair
    """May do nothing but ask for temporary credentials."""
    signing_key: str = Field(repr=False)
    """Signs temporary credentials: with another one all that were issued are void."""
    jwt_keys: dict[str, str] = Field(repr=False)
    """Close the inner HTTP ports, which would serve every object to anybody. By variable."""

    @property
    def endpoint_url(self) -> str:
        """Where clients find S3."""
        return f"http://{LOOPBACK}:{self.ports[S3_PORT]}"

    def all_ports(self) -> dict[str, int]:
        """Every port that will be taken, the one that has no flag included."""
        return self.ports | {"admin.port.grpc": self.ports[_ADMIN_PORT] + _ADMIN_GRPC_OFFSET}


def load_config(folder: Path, *, s3_port: int = 0, chance: random.Random) -> SeaweedConfig:
    """The folder's configuration, made at the first start; ``s3_port`` 0 keeps what it has.

    The S3 port is what clients know and stays. Any other port that is taken by now is replaced.

    Raises:
        CannotProceed: the file is unreadable, or the S3 port is in use.
    """
    kept = _read(folder / _CONFIG_FILE)
    old = kept.ports if kept else {}
    wanted = s3_port or old.get(S3_PORT, 0)
    if wanted and not port_is_free(wanted):
        raise CannotProceed(
            f"Port {wanted} for the bundled S3 is in use by another program. Stop that program, "
            "or choose another port with --s3-port"
        )
    ports = _choose_ports(old | {S3_PORT: wanted}, chance)
    config = kept.model_copy(update={"ports": ports}) if kept else _new_config(ports)
    if config != kept:
        write_private(folder / _CONFIG_FILE, config.model_dump_json(indent=1))
    return config


def write_server_files(folder: Path, config: SeaweedConfig) -> None:
    """Write the two files that the S3 server reads its identities and roles from."""
    write_private(folder / _IDENTITIES_FILE, json.dumps(_identities(config), indent=1))
    write_private(folder / _IAM_FILE, json.dumps(_iam(config), indent=1))


def command_line(binary: Path, folder: Path, config: SeaweedConfig) -> list[str]:
    """The command that starts the S3 server. It holds no secrets: any user can read it."""
    ports = [f"-{flag}={config.ports[flag]}" for flag in PORT_FLAGS]
    return [
        *(str(binary), "-logtostderr=true", "mini", f"-dir={data_folder(folder)}"),
        *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", *ports),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
        # On by default: it would report to the makers of the server.
        "-master.telemetry=false",
        "-disableHttp",
        "-volume.preStopSeconds=0",
        # What the master knows it learns from the volumes anyway. When it resumes instead, one
        # start in five waits 5 or 19 s before anything can be written (measured).
        "-master.resumeState=false",
        *(f"-s3.config={folder / _IDENTITIES_FILE}", f"-s3.iam.config={folder / _IAM_FILE}"),
    ]


def environment(folder: Path, config: SeaweedConfig) -> dict[str, str]:
    """The whole environment of the S3 server.

    Nothing is inherited: it would take AWS_ACCESS_KEY_ID for one more administrator and read
    settings from the home folder.
    """
    limits = {"GOMEMLIMIT": "300MiB", "GOGC": "50"}
    return {"HOME": str(folder), "PATH": "/usr/bin:/bin", **limits, **config.jwt_keys}


def data_folder(folder: Path) -> Path:
    """Where the S3 server keeps the objects."""
    return folder / "data"


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a connection that was closed a moment ago is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _read(path: Path) -> SeaweedConfig | None:
    text = read_private(path)
    if text is None:
        return None
    try:
        return SeaweedConfig.model_validate_json(text)
    except ValidationError as error:
        raise CannotProceed(
            f"{path} is damaged: {error}. Restore it from a backup. Without it the objects in "
            "this folder are still there, but new ports and credentials would be made: move the "
            "file away to allow that"
        ) from error


def _choose_ports(old: dict[str, int], chance: random.Random) -> dict[str, int]:
    chosen = {S3_PORT: old[S3_PORT]} if old[S3_PORT] else {}
    taken = set(chosen.values())
    for flag in PORT_FLAGS:
        if flag in chosen:
            continue
        candidates = [old[flag]] if old.get(flag) else []
        candidates += (chance.randrange(_FIRST_PORT, _LAST_PORT) for _ in range(_PORT_TRIES))
        for port in candidates:
            needed = {port, port + _ADMIN_GRPC_OFFSET} if flag == _ADMIN_PORT else {port}
            if not needed & taken and all(map(port_is_free, needed)):
                chosen[flag] = port
                taken |= needed
                break
        else:
            raise CannotProceed(
                f"No free port for the bundled S3 between {_FIRST_PORT} and {_LAST_PORT} on "
                f"{LOOPBACK}; {_PORT_TRIES} were tried. Stop programs that hold so many ports"
            )
    return chosen


def _new_config(ports: dict[str, int]) -> SeaweedConfig:
    names = ("SIGNING_KEY", "SIGNING_READ_KEY", "FILER_SIGNING_KEY", "FILER_SIGNING_READ_KEY")
    return SeaweedConfig(
        ports=ports,
        catalog=_new_key_pair(),
        vendor=_new_key_pair(),
        signing_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        jwt_keys={f"WEED_JWT_{name}": secrets.token_hex(32) for name in names},
    )


def _new_key_pair() -> KeyPair:
    return KeyPair(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_hex(24))


def _identities(config: SeaweedConfig) -> JsonObject:
    def identity(name: str, pair: KeyPair, actions: list[str]) -> JsonObject:
        keys: JsonObject = {"accessKey": pair.access_key, "secretKey": pair.secret_key}
        return {"name": name, "credentials": [keys], "actions": [*actions]}

    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    catalog = identity("catalog", config.catalog, everything)
    return {"identities": [catalog, identity("vendor", config.vendor, [])]}


def _iam(config: SeaweedConfig) -> JsonObject:
    # One named principal: with "*", temporary credentials could assume the role once more,
    # without the policy that limits them.
    trust: JsonObject = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/vendor"},
        "Action": ["sts:AssumeRole"],
    }
    ceiling: JsonObject = {
        "Effect": "Allow",
        "Action": [
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:PutObject",
            "s3:AbortMultipartUpload",
        ],
        "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
    }
    return {
        "sts": {
            "issuer": "catalog-sts",
            "signingKey": config.signing_key,
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
        },
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [
            {
                "roleName": "Atlas",
                "roleArn": ROLE_ARN,
                "trustPolicy": _policy(trust),
                "attachedPolicies": ["AtlasObjects"],
            }
        ],
        "policies": [{"name": "AtlasObjects", "document": _policy(ceiling)}],
    }


def _policy(statement: JsonObject) -> JsonObject:
    return {"Version": "2012-10-17", "Statement": [statement]}
