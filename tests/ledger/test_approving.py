"""Approvals: bound to what was approved, and kept."""

from datetime import UTC, datetime, timedelta

import pytest

from polly_core.errors import InvalidInput, LedgerError, RunMismatch
from polly_core.ledger.ledger import Ledger, open_ledger
from tests.ledger import house

RUN = house.run_id(1)


def planned(ledger: Ledger, digest: str = "digest-1") -> None:
    house.freeze(ledger, RUN, size=1)
    ledger.set_plan_digest(RUN, digest)


def test_approvals_are_kept_with_who_and_when(ledger_url: str) -> None:
    with open_ledger(ledger_url) as first:
        planned(first)
        first.approve(RUN, "digest-1", 0, "Dr. Who \0")
        first.approve(RUN, "digest-1", 1, "curator")
    with open_ledger(ledger_url) as second:
        plan, wave = second.approvals(RUN)
    assert (plan.plan_digest, plan.wave, plan.by) == ("digest-1", 0, "Dr. Who �")
    assert (wave.plan_digest, wave.wave, wave.by) == ("digest-1", 1, "curator")
    assert abs(plan.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_first_approval_stays(ledger: Ledger) -> None:
    planned(ledger)
    ledger.approve(RUN, "digest-1", 0, "first")
    before = ledger.approvals(RUN)
    ledger.approve(RUN, "digest-1", 0, "second")
    assert ledger.approvals(RUN) == before


def test_an_approval_of_another_plan_is_refused(ledger: Ledger) -> None:
    planned(ledger)
    ledger.approve(RUN, "digest-1", 0, "curator")
    ledger.set_plan_digest(RUN, "digest-2")
    with pytest.raises(RunMismatch, match="is digest-2, the approval is for digest-1"):
        ledger.approve(RUN, "digest-1", 1, "curator")
    assert [(one.plan_digest, one.wave) for one in ledger.approvals(RUN)] == [("digest-1", 0)]


def test_nothing_to_approve_and_nobody_who_approves(ledger: Ledger) -> None:
    house.freeze(ledger, RUN, size=1)
    with pytest.raises(LedgerError, match="has no plan yet"):
        ledger.approve(RUN, "digest-1", 0, "curator")
    ledger.set_plan_digest(RUN, "digest-1")
    with pytest.raises(InvalidInput, match="who approves"):
        ledger.approve(RUN, "digest-1", 0, " ")
    with pytest.raises(InvalidInput, match="found -1"):
        ledger.approve(RUN, "digest-1", -1, "curator")
    assert ledger.approvals(RUN) == []
