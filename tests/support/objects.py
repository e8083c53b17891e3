"""Direct access to the object store of a test server, past the catalog."""

from pathlib import Path
from typing import TYPE_CHECKING

from polly_core.server.blobs import parse_uri
from polly_core.server.s3 import S3Access
from polly_core.server.seaweed import access_of
from polly_core.server.seaweed_config import BUCKET, SeaweedConfig

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def store_config(data_dir: Path) -> SeaweedConfig:
    """Ports and credentials of the S3 server of a data folder, running or not."""
    return SeaweedConfig.model_validate_json((data_dir / "seaweed" / "config.json").read_text())


def store_access(data_dir: Path) -> S3Access:
    """What the server itself uses."""
    config = store_config(data_dir)
    return access_of(config, config.catalog)


def upload(client: "S3Client", key: str, content: bytes = b"data") -> str:
    """Put an object; its URI with the version. The key must need no percent-encoding."""
    version = client.put_object(Bucket=BUCKET, Key=key, Body=content)["VersionId"]
    return f"s3://{BUCKET}/{key}?versionId={version}"


def download(client: "S3Client", uri: str) -> bytes:
    """The bytes of exactly the version that a URI names."""
    location = parse_uri(uri)
    assert location.version_id is not None, uri
    found = client.get_object(
        Bucket=location.bucket, Key=location.key, VersionId=location.version_id
    )
    return found["Body"].read()
