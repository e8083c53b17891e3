"""An S3 that somebody else runs, in place of the bundled one."""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from polly_core.errors import CannotProceed, InvalidInput, StorageError
from polly_core.models.catalog import AtlasId
from polly_core.models.wire import S3Tokens
from polly_core.server import seaweed_process as system
from polly_core.server.external_s3 import StaticKeys, check_bucket, choose_issuer
from polly_core.server.launcher import Atlas, AtlasConfig, AtlasSpec
from polly_core.server.s3 import S3Access, check_round_trip, ensure_bucket, s3_client
from polly_core.server.seaweed import access_of
from polly_core.server.seaweed_config import (
    BUCKET,
    ROLE_ARN,
    command_line,
    environment,
    load_config,
    write_server_files,
)
from polly_core.server.tokens import StsIssuer
from tests.support.crash import check_everything_resolves
from tests.support.objects import upload
from tests.support.wire import WireCaller

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A store whose role trusts the credentials that are used for everything else, too."""
    folder = tmp_path_factory.mktemp("store")
    config = load_config(folder, chance=random.Random())
    write_server_files(folder, config)
    iam = folder / "iam.json"
    iam.write_text(iam.read_text().replace("user/vendor", "user/catalog"))
    (folder / "data").mkdir()
    command = command_line(system.find_binary(), folder, config)
    process = system.spawn(command, environment(folder, config), folder)
    access = access_of(config, config.catalog)
    client = s3_client(access)
    try:
        _wait_for(client)
        yield access
    finally:
        client.close()
        system.stop(process)
        system.sweep_sockets(config.all_ports().values())


def _wait_for(client: "S3Client") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            ensure_bucket(client, BUCKET)
            check_round_trip(client, BUCKET, "probe")
            return
        except StorageError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def client(external: S3Access) -> Iterator["S3Client"]:
    client = s3_client(external)
    yield client
    client.close()


def test_an_atlas_works_over_it(tmp_path: Path, external: S3Access, client: "S3Client") -> None:
    own = f"x{uuid.uuid4().hex[:10]}"
    config = AtlasConfig(
        data_dir=tmp_path / "data",
        atlases=(AtlasSpec(atlas_id=own),),
        external_s3=external,
    )
    with Atlas(config) as atlas:
        assert atlas.s3_endpoint_url == external.endpoint_url
        assert atlas.s3_pid is None
        caller = WireCaller(atlas.api_url, atlas.api_key.get_secret_value())
        attributes = caller.tokens(own).document["data"]["attributes"]
        assert attributes["endpoint_url"] == external.endpoint_url
        tokens = S3Tokens(**attributes["tokens"])
        assert tokens.SessionToken
        holder = s3_client(external, tokens=tokens)
        uri = upload(holder, f"{own}/v2/GSE1/GSE1.gct")
        with pytest.raises(ClientError, match="AccessDenied"):
            upload(holder, "other/v2/GSE1/GSE1.gct")
        assert caller.create(own, "GSE1", uri, {"organism": "mouse"}).status == 201
        check_everything_resolves(caller, client, own)
        caller.close()
    assert not (tmp_path / "data" / "seaweed").exists()


def test_its_own_temporary_credentials_are_used(external: S3Access) -> None:
    assert isinstance(choose_issuer(external), StsIssuer)


def test_a_role_is_used_or_said_to_be_useless(external: S3Access) -> None:
    assert isinstance(choose_issuer(external, ROLE_ARN), StsIssuer)
    other = ROLE_ARN.replace("Atlas", "Other")
    with pytest.raises(CannotProceed, match=r"role/Other in AWS_ROLE_ARN"):
        choose_issuer(external, other)


def test_a_missing_bucket_is_said(external: S3Access) -> None:
    missing = external.model_copy(update={"bucket": "no-such-bucket"})
    with pytest.raises(CannotProceed, match=r"no-such-bucket.*--s3-bucket"):
        check_bucket(missing)


def test_wrong_credentials_are_said_and_not_shown(external: S3Access) -> None:
    wrong = external.model_copy(update={"secret_key": SecretStr("not-the-secret")})
    with pytest.raises(CannotProceed, match="AWS_ACCESS_KEY_ID") as raised:
        check_bucket(wrong)
    assert "not-the-secret" not in str(raised.value)


def test_a_store_out_of_reach_is_said(external: S3Access) -> None:
    away = external.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})
    with pytest.raises(CannotProceed, match=r"http://127\.0\.0\.1:1.*--s3-endpoint"):
        check_bucket(away)


def test_a_bucket_without_versions_is_refused(external: S3Access, client: "S3Client") -> None:
    name = f"plain-{uuid.uuid4().hex[:10]}"
    client.create_bucket(Bucket=name)
    plain = external.model_copy(update={"bucket": name})
    with pytest.raises(CannotProceed, match=rf"{name}.* keeps no versions.*Turn versioning on"):
        check_bucket(plain)
    check_bucket(external)


class _Store(BaseHTTPRequestHandler):
    """A store that puts everything, and answers credential requests as told."""

    credentials: ClassVar[bool] = False

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(200, "")

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if not self.credentials:
            error = "<Error><Code>NotImplemented</Code><Message>no</Message></Error>"
            self._answer(501, f"<ErrorResponse>{error}</ErrorResponse>")
            return
        keys = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in {
                "AccessKeyId": "ASIA",
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": "2099-01-01T00:00:00Z",
            }.items()
        )
        call = parse_qs(asked)["Action"][0]
        self._answer(
            200,
            f"<{call}Response><{call}Result><Credentials>{keys}</Credentials>"
            f"</{call}Result></{call}Response>",
        )

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


class _GenerousStore(_Store):
    """Issues credentials, but lets them do anything."""

    credentials = True


@pytest.mark.parametrize("kind", [_Store, _GenerousStore])
def test_where_nothing_is_limited_that_is_said(
    kind: type[_Store], caplog: pytest.LogCaptureFixture
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    access = S3Access(
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region="us-east-1",
        bucket="plain",
        access_key="AKIA",
        secret_key=SecretStr("the-secret"),
    )
    try:
        issuer = choose_issuer(access)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert isinstance(issuer, StaticKeys)
    assert "can read and write the whole bucket 'plain'" in caplog.text
    assert "the-secret" not in caplog.text
    tokens = issuer.issue(AtlasId("9"), write=False).tokens
    assert (tokens.AccessKeyId, tokens.SecretAccessKey) == ("AKIA", "the-secret")
    assert tokens.SessionToken == ""
    assert tokens.Expiration.endswith("Z")
    with pytest.raises(InvalidInput):
        issuer.issue(AtlasId("*"), write=False)
