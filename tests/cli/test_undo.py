"""undo as a user types it: what the run did not do is refused by name, with nothing begun."""

import pytest

from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from tests.cli.test_commands import User
from tests.operations.scenarios import ATTACH, Asked, Stock
from tests.operations.sites import RealSite

CHANGE: JsonObject = {
    "steps": [{"set": "quality.x", "value": 1}, {"set": "disease", "value": "zzz"}]
}


def _updated(site: RealSite) -> str:
    Stock(site.ports, site.folder).add("D0")
    return site.run(site.ask(OperationName.UPDATE, Asked(CHANGE))).run_id


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fields", "diseas"), "changed no field diseas (did you mean disease?); it changed"),
        (("--fields", "disease,quality.z"), "it changed disease, quality, quality.x; name one"),
        (("--fields", ""), "fields: field ''"),
        (("--ids", "-"), "did not write D9 (not in the run); leave out"),
    ],
)
def test_what_the_run_did_not_write_is_refused(
    user: User, site: RealSite, words: tuple[str, ...], told: str
) -> None:
    run_id = _updated(site)
    said = user.types("undo", run_id, *words, "--dry-run", stdin="D0\nD9\n")
    assert said.code == 2, said
    assert told in said.err
    assert "undo" not in user.types("runs").out
    assert "undone by" not in user.types("show", run_id).out


def test_files_have_no_fields(user: User, site: RealSite) -> None:
    run_id = site.run(ATTACH.request(site)).run_id
    said = user.types("undo", run_id, "--fields", "x", "--dry-run")
    assert said.code == 2, said
    assert "leave the fields away" in said.err


def test_a_field_in_an_added_object_is_planned_by_its_own_name(user: User, site: RealSite) -> None:
    run_id = _updated(site)
    said = user.types("undo", run_id, "--fields", "quality.x", "--dry-run", "--output", "json")
    assert said.code == 0, said.err
    plan = said.document()["plan"]
    assert isinstance(plan, dict)
    assert plan["counts"] == {"planned": 1}
    # A plan has undone nothing.
    assert user.types("show", run_id, "--output", "json").document()["led_to"] == []
