"""Both clients, each through the whole scenario against the real server."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.neutral import NeutralReader, dump, write_inputs
from tests.support.atlas import RunningAtlas

REPOSITORY = Path(__file__).parents[2]
VENDOR = REPOSITORY / ".interop-venv" / "bin" / "python"
OURS = Path(sys.executable)
# Nothing listens there: the vendor's client looks for its newest release on the internet.
NO_INTERNET = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Outcome:
    """What a client answered, what the catalogs hold then, and in which atlases."""

    transcript: dict[str, Any]
    catalogs: dict[str, Any]
    atlases: tuple[str, str]


class Stage:
    """Runs modules of this package with either client, in a process and folder of their own."""

    def __init__(self, atlas: RunningAtlas, factory: pytest.TempPathFactory) -> None:
        self._atlas = atlas
        self._factory = factory

    def run(
        self, python: Path, module: str, *packages: str, **config: str | list[str]
    ) -> dict[str, Any]:
        """What ``tests.interop.<module>`` wrote into its answer file."""
        folder = self._factory.mktemp(module)
        write_inputs(folder / "inputs")
        keys = {
            "api_url": self._atlas.api_url,
            "api_key": self._atlas.api_key,
            "read_key": self._atlas.read_key,
        }
        (folder / "config.json").write_text(json.dumps(keys | config))
        command = [f"tests.interop.{module}", *packages, "config.json", "answer.json"]
        done = subprocess.run(
            [str(python), "-m", *command],
            cwd=folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
        return answer

    def play(self, python: Path, package: str) -> Outcome:
        """The whole scenario by one client in two fresh atlases."""
        first, second = self._atlas.new_atlas(), self._atlas.new_atlas()
        transcript = self.run(python, "scenario", package, atlas=first, other_atlas=second)
        catalogs = dump(self.reader(), {first: "A", second: "B"})
        return Outcome(transcript, catalogs, (first, second))

    def reader(self) -> NeutralReader:
        """Reads without either client."""
        atlas = self._atlas
        return NeutralReader(atlas.api_url, atlas.api_key, atlas.s3_endpoint_url, atlas.region)

    def _environment(self) -> dict[str, str]:
        """As a user sets it for a self-hosted store; no other setting of this process."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return kept | {
            "AWS_ENDPOINT_URL_S3": self._atlas.s3_endpoint_url,
            "AWS_REGION": self._atlas.region,
            "AWS_DEFAULT_REGION": self._atlas.region,
            "HTTPS_PROXY": NO_INTERNET,
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@pytest.fixture(scope="session")
def stage(atlas: RunningAtlas, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Where both clients play."""
    return Stage(atlas, tmp_path_factory)


@pytest.fixture(scope="session")
def vendor_python() -> Path:
    """The interpreter of the vendor's client. Its absence is a failure, not a reason to skip."""
    if not VENDOR.is_file():
        pytest.fail(
            f"the environment of polly-python 4.8.0 is missing: expected {VENDOR}. 'make test' "
            "makes it; by hand: python3 -m venv .interop-venv && .interop-venv/bin/python -m pip "
            "install --require-hashes -r tests/interop/requirements.lock"
        )
    return VENDOR


@pytest.fixture(scope="session")
def vendor(stage: Stage, vendor_python: Path) -> Outcome:
    """The scenario by the vendor's unmodified client."""
    return stage.play(vendor_python, "polly")


@pytest.fixture(scope="session")
def ours(stage: Stage) -> Outcome:
    """The same scenario by our client."""
    return stage.play(OURS, "polly_core")
