"""Files put into the operator's own S3: the real store."""

from pathlib import Path
from uuid import uuid4

import pytest

from polly_core.errors import CannotProceed, InvalidInput
from polly_core.server.s3 import S3Access, s3_client
from polly_core.transport.deposit import Deposit
from tests.support.atlas import RunningAtlas
from tests.support.objects import store_access


@pytest.fixture
def access(atlas: RunningAtlas, monkeypatch: pytest.MonkeyPatch) -> S3Access:
    found = store_access(atlas.data_dir)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", found.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", found.secret_key.get_secret_value())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", found.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", found.region)
    return found


@pytest.fixture
def place(access: S3Access) -> str:
    return f"s3://{access.bucket}/deposits/{uuid4()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b ü", "last"):
        (tmp_path / name).write_text(name)
    return tmp_path


def _names(access: S3Access, place: str) -> list[str]:
    prefix = place.removeprefix(f"s3://{access.bucket}/") + "/"
    found = s3_client(access).list_objects_v2(Bucket=access.bucket, Prefix=prefix)
    return [one["Key"].removeprefix(prefix) for one in found.get("Contents", [])]


def test_files_are_put_once(access: S3Access, place: str, folder: Path) -> None:
    deposit = Deposit(place + "/")
    deposit.require_empty()
    deposit.send(folder, ["a", "b ü"], last="last")
    assert sorted(_names(access, place)) == ["a", "b ü", "last"]
    with pytest.raises(InvalidInput, match=r"is not empty \(found s3://"):
        Deposit(place).require_empty()


def test_where_one_cannot_be_put_none_stays(access: S3Access, place: str, folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Deposit(place).send(folder, ["a", "absent"], last="last")
    assert _names(access, place) == []


def test_of_two_at_one_place_one_is_refused_and_harms_nothing(
    access: S3Access, place: str, folder: Path
) -> None:
    first, second = Deposit(place), Deposit(place)
    second.require_empty()
    put = first._put

    def put_slowly(folder: Path, name: str) -> None:
        if name == "last":
            with pytest.raises(CannotProceed, match="PreconditionFailed"):
                second.send(folder, ["a"], last="last")
        put(folder, name)

    first._put = put_slowly  # type: ignore[method-assign]
    first.send(folder, ["a", "b ü"], last="last")
    assert sorted(_names(access, place)) == ["a", "b ü", "last"]


@pytest.mark.parametrize("text", ["s3://", "s3://bucket", "s3://bucket/key?versionId=1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Deposit(text)
