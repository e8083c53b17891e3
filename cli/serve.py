"""``polly-bulk serve``: the self-hosted atlas in the foreground."""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from polly_core.errors import CannotProceed, InvalidInput

if TYPE_CHECKING:
    from polly_core.server.launcher import Atlas, AtlasConfig
    from polly_core.server.s3 import S3Access

_LOOK_SECONDS = 0.5


@click.command(name="serve")
@click.option(
    "--data",
    "data_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything it keeps; made where it is missing.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Port of the catalog; without it the folder's last one, else a free one.",
)
@click.option(
    "--s3-port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Port of the bundled S3; without it the folder's own one.",
)
@click.option(
    "--atlas", "atlases", multiple=True, metavar="ID[:NAME]", help="An atlas that must exist."
)
@click.option("--s3-endpoint", metavar="URL", help="Another S3 in place of the bundled one.")
@click.option("--s3-bucket", metavar="B", help="Its bucket; must keep versions.")
@click.option(
    "--api-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key for writing is read from here, or written if there is no such file.",
)
@click.option("--delay-ms", default=0.0, type=click.FloatRange(0), help="Rehearsal: be slow.")
@click.option(
    "--reject-above",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    help="Rehearsal: answer 429 above so many requests per second.",
)
@click.option(
    "--fail-rate",
    default=0.0,
    type=click.FloatRange(0, 1),
    help="Rehearsal: part of the requests that get 500.",
)
@click.option(
    "--drop-rate",
    default=0.0,
    type=click.FloatRange(0, 1),
    help="Rehearsal: part of the writes that are done but get no answer.",
)
def command(**options: Any) -> None:
    """Serve an atlas in the foreground until SIGTERM or Ctrl-C.

    When it is ready it prints one JSON line with its URLs and keys. Logs go to stderr.
    """
    from polly_core.server.launcher import Atlas

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    stop = threading.Event()
    _stop_on_signals(stop)
    with Atlas(_config(options)) as atlas:
        click.echo(json.dumps(_ready_line(atlas)))
        sys.stdout.flush()
        while not stop.wait(_LOOK_SECONDS):
            if not atlas.healthy:
                raise CannotProceed("The HTTP server ended unexpectedly; the log says why")


def _stop_on_signals(stop: threading.Event) -> None:
    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)


def _ready_line(atlas: "Atlas") -> dict[str, object]:
    return {
        "api_url": atlas.api_url,
        "s3_endpoint_url": atlas.s3_endpoint_url,
        "region": atlas.region,
        "api_key": atlas.api_key.get_secret_value(),
        "read_key": atlas.read_key.get_secret_value(),
        "atlases": list(atlas.atlas_ids),
        "pid": os.getpid(),
    }


def _config(options: dict[str, Any]) -> "AtlasConfig":
    from polly_core.server.launcher import AtlasConfig, AtlasSpec
    from polly_core.server.rehearsal import Faults

    parted = [text.partition(":") for text in options["atlases"]]
    return AtlasConfig(
        data_dir=options["data_dir"],
        host=options["host"],
        port=options["port"],
        s3_port=options["s3_port"],
        atlases=tuple(AtlasSpec(atlas_id=atlas_id, name=name) for atlas_id, _, name in parted),
        api_key_file=options["api_key_file"],
        external_s3=_external_s3(options["s3_endpoint"], options["s3_bucket"]),
        external_role_arn=os.environ.get("AWS_ROLE_ARN") or None,
        faults=Faults(
            delay_ms=options["delay_ms"],
            reject_above=options["reject_above"],
            fail_rate=options["fail_rate"],
            drop_rate=options["drop_rate"],
        ),
    )


def _external_s3(endpoint_url: str | None, bucket: str | None) -> "S3Access | None":
    from polly_core.server.s3 import S3Access

    if endpoint_url is None and bucket is None:
        return None
    if not endpoint_url or not bucket:
        raise InvalidInput("--s3-endpoint and --s3-bucket belong together; one is missing")
    if not endpoint_url.startswith(("http://", "https://")):
        raise InvalidInput(f"--s3-endpoint {endpoint_url!r} is no URL: expected http(s)://host")
    access_key = os.environ.get("AWS_ACCESS_KEY_ID")
    secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        raise InvalidInput(
            "--s3-endpoint needs credentials of that S3 in the environment variables "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return S3Access(
        endpoint_url=endpoint_url.rstrip("/"),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        bucket=bucket,
        access_key=access_key,
        secret_key=SecretStr(secret_key),
    )
