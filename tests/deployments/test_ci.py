"""The workflow of ``deployments/ci``: its commands as a runner executes them, on real servers."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from tests.support.datasets import fill, version_counts
from tests.support.deployed import Deployed, datasets
from tests.support.prefect import ROOT

pytestmark = pytest.mark.timeout(400)

WORKFLOW = ROOT / "deployments" / "ci" / "polly-bulk.yml"
EXPRESSION = re.compile(r"\${{\s*(.*?)\s*}}")


def workflow() -> Any:
    return yaml.safe_load(WORKFLOW.read_text())


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in workflow()["jobs"].items():
        for step in job["steps"]:
            yield name, step


def test_commands_get_secrets_and_foreign_text_by_the_environment_only() -> None:
    """An expression in a command would run what somebody wrote into a title or a branch."""
    commands = [step["run"] for _, step in steps() if "run" in step]
    assert len(commands) >= 6
    for command in commands:
        assert "${{" not in command
    for _, step in steps():
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
    assert workflow()["permissions"] == {"contents": "read"}
    assert workflow()["jobs"]["apply"]["environment"] == "polly-production"


class Runner:
    """A machine of GitHub's: its expressions, files and programs."""

    def __init__(self, folder: Path, known: Mapping[str, str], base: Mapping[str, str]) -> None:
        self.folder = folder
        self.known = dict(known)
        self.said: list[str] = []
        programs = folder / "bin"
        programs.mkdir()
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cli.main import main; main()"
        self._program(programs / "polly-bulk", f"'{sys.executable}' -c '{start}' '{ROOT}' \"$@\"")
        self._program(programs / "python", f"'{sys.executable}' \"$@\"")
        # GitHub itself cannot run here; what it is told is kept.
        self._program(programs / "gh", f"echo \"$@\" > '{folder}/gh.txt'")
        self.output, self.summary = folder / "output", folder / "summary"
        own = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        self.base = {**base, **own, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(self, job: str, work: Path) -> None:
        """Every command of a job but the installation, in its order."""
        document = workflow()
        outer = {**document["env"], **document["jobs"][job].get("env", {})}
        for step in document["jobs"][job]["steps"]:
            if "run" in step and step["name"] != "Install":
                self._step(step, {**outer, **step.get("env", {})}, work)
        for name, value in document["jobs"][job].get("outputs", {}).items():
            self.known[f"needs.{job}.outputs.{name}"] = self._resolved(value)

    def _step(self, step: Mapping[str, Any], values: Mapping[str, str], work: Path) -> None:
        environment = {name: self._resolved(value) for name, value in values.items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=work,
            env={**self.base, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}"
        self.said += [done.stdout, done.stderr]
        if "id" in step:
            for line in self.output.read_text().splitlines():
                name, _, value = line.partition("=")
                self.known[f"steps.{step['id']}.outputs.{name}"] = value

    def _resolved(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self.known[found[1]], text)

    @staticmethod
    def _program(path: Path, command: str) -> None:
        path.write_text(f"#!/bin/sh\nexec {command}\n" if "gh.txt" not in command else command)
        path.chmod(0o755)


def test_a_change_is_planned_approved_and_applied(deployed: Deployed, tmp_path: Path) -> None:
    """What was planned in one job is what the worker writes in the other, and nothing else."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(12))
    checkout = tmp_path / "checkout"
    (checkout / "changes").mkdir(parents=True)
    (checkout / "changes" / "current.yaml").write_text(
        "steps:\n  - {rename: species, to: organism}\n  - {map: organism, vocabulary: names.csv}\n"
    )
    (checkout / "changes" / "names.csv").write_text("from,to\nhuman,Homo sapiens\n")
    known = {
        "vars.POLLY_ATLAS": atlas_id,
        "vars.POLLY_API_URL": deployed.atlas.api_url,
        "vars.PREFECT_API_URL": deployed.server.api_url,
        "vars.POLLY_BULK_PACKAGE": "polly-bulk",
        "secrets.POLLY_API_KEY": deployed.atlas.read_key,
        "secrets.POLLY_LEDGER_URL": deployed.ledger_url,
        "secrets.PREFECT_API_AUTH_STRING": "",
        "github.ref": "refs/heads/main",
        "github.run_id": "4711",
        "github.token": "t",
        "github.event.pull_request.html_url": "https://github.test/pull/7",
    }
    base = deployed.server.environment({"POLLY_HOME": str(tmp_path / "home")})
    runner = Runner(tmp_path, known, base)
    runner.run("plan", checkout)
    assert runner.known["needs.plan.outputs.to_write"] == "12"
    digest = runner.known["needs.plan.outputs.plan_digest"]
    assert digest in (checkout / "plan.md").read_text()
    assert "pull/7 --body-file plan.md" in (tmp_path / "gh.txt").read_text()
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {1}

    # The other job runs on another machine.
    shutil.rmtree(checkout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    runner.run("apply", elsewhere)
    result = json.loads((elsewhere / "result.json").read_text())
    assert (result["exit_code"], result["plan_digest"]) == (0, digest)
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
    assert len((elsewhere / "report.csv").read_text().splitlines()) == 13
    run_id = RunId(runner.known["needs.plan.outputs.run_id"])
    assert UUID(run_id)
    with open_ledger(deployed.ledger_url) as ledger:
        (approval,) = ledger.approvals(run_id)
    assert approval.by == "reviewers of polly-production, GitHub run 4711"
    shown = "".join([*runner.said, runner.summary.read_text()])
    assert deployed.atlas.read_key not in shown
