"""bundle, verify, show and runs as a user types them: a real atlas, real S3."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from polly_core.engine.process import this_process
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Control, Pace, Wanted
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunOptions, RunState, Wave
from polly_core.models.selection import Selection
from polly_core.server.s3 import S3Access, s3_client
from tests.cli.test_commands import Said, User
from tests.engine.real import RealRig
from tests.operations.scenarios import DELETE, UPDATE, Asked, Scenario
from tests.operations.sites import RealSite
from tests.support.atlas import RunningAtlas
from tests.support.objects import store_access

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

VERIFIED = 3


def _run(site: RealSite, scenario: Scenario, **options: object) -> RunId:
    request = scenario.request(site, barrier=True, **options)
    assert site.run(request).counts.by_state == scenario.ended
    return request.run_id


def _check(user: User, folder: Path) -> Said:
    return user.types("bundle", "--check", str(folder))


def _secrets(atlas: RunningAtlas) -> list[str]:
    access = store_access(atlas.data_dir)
    return [atlas.api_key, atlas.read_key, access.secret_key.get_secret_value()]


def _require_no_secret(folder: Path, secrets: list[str]) -> None:
    number = 0
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
            number += 1
    assert number > 10


def test_a_run_is_verified_bundled_and_checked(
    user: User, site: RealSite, atlas: RunningAtlas, tmp_path: Path
) -> None:
    run_id = _run(site, DELETE)
    target = tmp_path / "record"
    said = user.types("bundle", run_id[:8], "-o", str(target), "--verify")
    assert said.code == 0, said.err
    assert f"{VERIFIED} of {VERIFIED} written datasets are as promised" in said.out
    assert re.search(r"digest of its SHA256SUMS: [0-9a-f]{64}", said.out)
    assert (target / "saved/A/linked.txt").read_text() == "linked"
    _require_no_secret(target, _secrets(atlas))
    checked = _check(user, target)
    assert (checked.code, checked.out) == (0, f"{target}: 15 files are as they were made\n")
    (target / "saved/A/linked.txt").write_text("forged")
    tampered = _check(user, target)
    assert tampered.code == 1
    assert "saved/A/linked.txt: it was changed" in tampered.out
    as_json = user.types("bundle", "--check", str(target), "--output", "json").document()
    assert as_json["files"] == 15


def test_the_plan_in_a_bundle_is_the_plan_of_the_run(user: User, site: RealSite) -> None:
    run_id = _run(site, UPDATE)
    target = user.home / "record"
    made = user.types("bundle", run_id, "-o", str(target), "--output", "json").document()
    assert (made["items"], made["notes"], made["verification"]) == (6, [], None)
    run: JsonObject = json.loads((target / "run.json").read_text())
    last = json.loads((target / "plan.jsonl").read_text().splitlines()[-1])
    assert last["plan_digest"] == run["plan_digest"]
    refused = user.types("bundle", run_id, "-o", str(target))
    assert refused.code == 2
    assert "is there already" in refused.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name the run"),
        (("RUN",), "name the run"),
        (("--check", "x", "-o", "y"), "--check takes nothing but"),
        (("--check", "/nowhere"), "name the folder of a bundle"),
        (("nosuchrun", "-o", "x"), "nosuchrun"),
    ],
)
def test_wrong_usage_is_told(user: User, words: tuple[str, ...], told: str) -> None:
    said = user.types("bundle", *words)
    assert said.code == 2
    assert told in said.err


class Bucket:
    """The operator's own place in the real store."""

    def __init__(self, access: S3Access) -> None:
        self.access = access
        self.client: S3Client = s3_client(access)
        self.prefix = f"audit/{uuid4()}"
        self.uri = f"s3://{access.bucket}/{self.prefix}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": access.access_key,
            "AWS_SECRET_ACCESS_KEY": access.secret_key.get_secret_value(),
            "AWS_ENDPOINT_URL_S3": access.endpoint_url,
            "AWS_DEFAULT_REGION": access.region,
        }

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.access.bucket, Prefix=self.prefix + "/")
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in found.get("Contents", [])]

    def fetch(self, folder: Path) -> None:
        for name in self.names():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            key = f"{self.prefix}/{name}"
            body = self.client.get_object(Bucket=self.access.bucket, Key=key)["Body"]
            target.write_bytes(body.read())


@pytest.fixture
def bucket(atlas: RunningAtlas) -> Bucket:
    return Bucket(store_access(atlas.data_dir))


def test_a_bundle_in_s3_is_the_same(
    user: User, site: RealSite, atlas: RunningAtlas, bucket: Bucket, tmp_path: Path
) -> None:
    run_id = _run(site, DELETE)
    said = user.types("bundle", run_id, "-o", bucket.uri + "/", **bucket.environment)
    assert said.code == 0, said.err
    assert f"in {bucket.uri}" in said.out
    folder = tmp_path / "fetched"
    bucket.fetch(folder)
    assert "saved/A/linked.txt" in bucket.names()
    assert _check(user, folder).code == 0
    sums = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False
    )
    assert sums.returncode == 0
    _require_no_secret(folder, _secrets(atlas))
    again = user.types("bundle", run_id, "-o", bucket.uri, **bucket.environment)
    assert again.code == 2
    assert "is not empty" in again.err


def test_what_s3_refuses_leaves_no_bundle(user: User, site: RealSite, bucket: Bucket) -> None:
    run_id = _run(site, UPDATE)
    wrong = {**bucket.environment, "AWS_SECRET_ACCESS_KEY": "wrong-" + "x" * 34}
    refused = user.types("bundle", run_id, "-o", bucket.uri, **wrong)
    assert refused.code == 3
    assert "SignatureDoesNotMatch" in refused.err
    assert "xxxx" not in refused.err
    away = {**bucket.environment, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    unreachable = user.types("bundle", run_id, "-o", bucket.uri, **away)
    assert unreachable.code == 3
    assert "AWS_ENDPOINT_URL_S3" in unreachable.err
    nowhere = user.types("bundle", run_id, "-o", "s3://", **bucket.environment)
    assert nowhere.code == 2
    assert bucket.names() == []


def test_verify_asks_what_the_user_asserts(user: User, site: RealSite) -> None:
    run_id = _run(site, UPDATE, assertions=["metadata.reviewed"])
    held = user.types("verify", run_id)
    assert held.code == 0, held.err
    assert "4 of 4 written datasets are as promised" in held.out
    assert "every assertion holds (1)" in held.out
    words = ("--assert", "metadata.name != 'B'", "--assert", "data_type == 'Bulk RNAseq'")
    broken = user.types("verify", run_id, *words)
    assert broken.code == 1
    assert "2 break an assertion" in broken.out
    assert "does not hold at version" in broken.out
    assert 'metadata.name is "B"' in broken.out
    document = user.types("verify", run_id, *words, "--output", "json").document()
    findings = document["findings"]
    assert isinstance(findings, list)
    assert [one["dataset_id"] for one in findings if isinstance(one, dict)] == ["B", "C"]
    bad = user.types("verify", run_id, "--assert", "name == 'B'")
    assert bad.code == 2
    assert "--assert" in bad.err


def test_a_bad_assertion_is_refused_before_anything_is_done(user: User) -> None:
    said = user.update("--set", "x=1", "--dry-run", "--assert", "metadata.x ==")
    assert said.code == 2
    assert "--assert: 'metadata.x ==' is no JMESPath" in said.err
    assert user.types("runs").out == "no runs in this ledger\n"


def test_show_says_that_an_assertion_is_broken(user: User, site: RealSite) -> None:
    run_id = _run(site, UPDATE, assertions=["metadata.name == 'A'"])
    shown = user.types("show", run_id)
    assert "3 written datasets break an assertion, for example B" in shown.out
    assert f"polly-bulk verify {run_id}" in shown.out
    assert user.types("show", run_id, "--output", "json").document()["exit_code"] == 1
    assert "3 not as promised or asserted" in user.types("runs").out


def _at_work(rig: RealRig, ledger: Ledger, run_id: RunId, pace: Pace | None) -> None:
    """As if this process executed the run."""
    execution = ledger.begin_execution(run_id, process=this_process(), lease_seconds=600)
    if pace is not None:
        ledger.tell_pace(execution, pace)
    assert rig.ledger_url


def test_a_running_run_says_how_fast_it_goes_and_why(user: User, site: RealSite) -> None:
    run_id = _run(site, UPDATE)
    pace = Pace(rate=12.25, eta_seconds=41.6, concurrency=8, note="the service asks for a pause")
    with open_ledger(site.rig.ledger_url) as ledger:
        ledger.set_state(run_id, RunState.RUNNING)
        _at_work(site.rig, ledger, run_id, pace)
        ledger.set_control(run_id, Control(wanted=Wanted.PAUSE))
        line = "12.2/s with 8 requests in flight allowed, about 42 s left, the service asks"
        shown = user.types("show", run_id[:8])
        assert shown.code == 0, shown.err
        assert line in shown.out
        assert "asked to pause" in shown.out
        assert re.search(r"process \d+ on \S+: .* \(as of \d+ s ago\)", shown.out)
        assert line in user.types("runs").out
        document = user.types("show", run_id, "--output", "json").document()
        assert document["control"] == {"wanted": "pause", "concurrency": None}
        live = document["live"]
        assert isinstance(live, list)
        assert [one["pace"] for one in live if isinstance(one, dict)] == [
            pace.model_dump(mode="json")
        ]


def test_what_undoes_a_run_its_approvals_and_its_waves_are_shown(
    user: User, site: RealSite
) -> None:
    options = RunOptions(waves=(Wave.parse("1"), Wave.parse("2")))
    run_id = _run(site, UPDATE, waves=options.waves)
    with open_ledger(site.rig.ledger_url) as ledger:
        ledger.approve(run_id, ledger.run(run_id).plan_digest or "", 0, "Ada")
    looked = user.types("undo", run_id, "--dry-run")
    assert looked.code == 0, looked.err
    asked = Asked({"run_id": run_id}, Selection(written_by=run_id))
    request = site.ask(OperationName.UNDO, asked, barrier=True)
    assert site.run(request).counts.by_state == {ItemState.APPLIED: UPDATE.ended[ItemState.APPLIED]}
    undo = request.run_id
    shown = user.types("show", run_id)
    assert f"undone by run {undo} (undo, finished)" in shown.out
    assert shown.out.count("undone by") == 1
    assert "the plan approved by Ada at " in shown.out
    for number, size in ((1, 1), (2, 2), (3, 1)):
        assert f"wave {number} of 3: {size} items, through" in shown.out
    assert f"undoes run {run_id} (update, finished)" in user.types("show", undo).out
    assert f"undoes {run_id[:8]}" in user.types("runs").out
    document = user.types("show", run_id, "--output", "json").document()
    waves = document["waves"]
    assert isinstance(waves, list)
    approvals = [one["approved"] for one in waves if isinstance(one, dict)]
    assert [one["by"] if isinstance(one, dict) else None for one in approvals] == [
        "Ada",
        None,
        None,
    ]
    target = user.home / "record"
    assert user.types("bundle", run_id, "-o", str(target)).code == 0
    summary = json.loads((target / "summary.json").read_text())
    assert [one["run_id"] for one in summary["led_to"]] == [undo]
    shutil.rmtree(target)
