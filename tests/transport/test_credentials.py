"""Temporary credentials: one request for many threads, renewed ahead, never another key's."""

import json
import logging
import threading
from datetime import UTC, datetime

import pytest

from polly_core.errors import AccessDenied, NotFound, ReadFailed
from polly_core.transport.credentials import CredentialCache, Form, Grant
from polly_core.transport.session import Channel, ReadSession
from tests.transport.stub import Asked, Reply, Stub, Waits, error, retrier, service, serving, tokens

FORM = Form("9")
START = 1_000_000.0


class Clock:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def stamp(self, seconds: float) -> str:
        """A moment from now as the service writes it."""
        return datetime.fromtimestamp(self.now + seconds, tz=UTC).isoformat()


def cache(stub: Stub, clock: Clock) -> CredentialCache:
    return CredentialCache(
        ReadSession(Channel(service(stub.url)), retrier(Waits(), retries=0)), now=clock
    )


def issue(clock: Clock, *, life: float = 3600.0) -> Reply:
    keys = {
        "AccessKeyId": f"AK{clock.now:.0f}",
        "SecretAccessKey": "very-secret",
        "SessionToken": "session-token",
        "Expiration": clock.stamp(life),
    }
    return Reply(201, tokens(tokens=keys))


def test_twenty_cold_threads_send_one_request() -> None:
    clock = Clock()
    gate = threading.Barrier(20)
    grants: list[Grant] = []

    def answer(asked: Asked) -> Reply:
        reply = issue(clock)
        return Reply(reply.status, reply.body, delay=0.1)

    with serving(answer=answer) as stub:
        credentials = cache(stub, clock)

        def ask() -> None:
            gate.wait()
            grants.append(credentials.grant(FORM))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stub.asked) == 1
    assert len(grants) == 20
    assert len({id(grant) for grant in grants}) == 1


def test_both_forms_ask_for_what_they_are_for() -> None:
    clock = Clock()
    details = {"bucket_name": "other", "prefix": "17/", "access_level": "write"}
    with serving(issue(clock), Reply(201, tokens(copy_dest_details=details))) as stub:
        credentials = cache(stub, clock)
        own = credentials.grant(FORM)
        copy = credentials.grant(Form("9", "17"))
    assert (own.bucket, own.prefix) == ("bucket", "9")
    assert (copy.bucket, copy.prefix) == ("other", "17")
    wanted = [json.loads(asked.body)["data"]["attributes"] for asked in stub.asked]
    assert wanted == [
        {"omixatlas_id": "9", "copy_dest_omixatlas_id": None},
        {"omixatlas_id": "9", "copy_dest_omixatlas_id": "17"},
    ]


def test_renewed_ahead_of_the_end() -> None:
    clock = Clock()
    with serving(answer=lambda asked: issue(clock)) as stub:
        credentials = cache(stub, clock)
        first = credentials.grant(FORM)
        clock.now += 2900
        assert credentials.grant(FORM) is first
        clock.now += 150
        assert credentials.grant(FORM) is not first
        assert len(stub.asked) == 2


def test_a_short_life_is_not_renewed_at_every_call() -> None:
    clock = Clock()
    with serving(answer=lambda asked: issue(clock, life=900)) as stub:
        credentials = cache(stub, clock)
        for _ in range(60):
            credentials.grant(FORM)
            clock.now += 10
        assert len(stub.asked) == 1


def test_a_failed_renewal_leaves_what_still_holds(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with serving(issue(clock), error(500), error(500), issue(clock, life=9000)) as stub:
        credentials = cache(stub, clock)
        first = credentials.grant(FORM)
        clock.now += 3100
        with caplog.at_level(logging.WARNING):
            assert credentials.grant(FORM) is first
        assert "not renewed yet" in caplog.text
        clock.now += 490
        with pytest.raises(ReadFailed):
            credentials.grant(FORM)
        assert credentials.grant(FORM) is not first
        assert len(stub.asked) == 4


def test_while_one_thread_renews_the_others_go_on() -> None:
    clock = Clock()
    release = threading.Event()

    def answer(asked: Asked) -> Reply:
        if len(stub.asked) > 1:
            release.wait(5)
        return issue(clock)

    with serving(answer=answer) as stub:
        credentials = cache(stub, clock)
        first = credentials.grant(FORM)
        clock.now += 3100
        renewing = threading.Thread(target=credentials.grant, args=(FORM,))
        renewing.start()
        while len(stub.asked) < 2:
            threading.Event().wait(0.01)
        assert credentials.grant(FORM) is first
        release.set()
        renewing.join()
        assert credentials.grant(FORM) is not first


def test_a_wrong_clock_does_not_ask_at_every_call() -> None:
    clock = Clock()
    with serving(answer=lambda asked: issue(clock, life=-7200)) as stub:
        credentials = cache(stub, clock)
        for _ in range(5):
            credentials.grant(FORM)
            clock.now += 5
        assert len(stub.asked) == 1


def test_refused_credentials_are_renewed_once_however_many_ask() -> None:
    clock = Clock()
    with serving(answer=lambda asked: issue(clock)) as stub:
        credentials = cache(stub, clock)
        old = credentials.grant(FORM)
        new = [credentials.renew(old) for _ in range(5)]
        assert len(stub.asked) == 2
    assert all(grant is new[0] for grant in new)
    assert new[0] is not old


def test_clearing_forgets_both_forms_of_one_atlas_only() -> None:
    clock = Clock()
    details = {"bucket_name": "b", "prefix": "p"}

    def answer(asked: Asked) -> Reply:
        return Reply(201, tokens(copy_dest_details=details))

    with serving(answer=answer) as stub:
        credentials = cache(stub, clock)
        forms = [Form("9"), Form("9", "17"), Form("5", "9"), Form("17")]
        for form in forms:
            credentials.grant(form)
        credentials.clear("9")
        for form in forms:
            credentials.grant(form)
        assert len(stub.asked) == 7


@pytest.mark.parametrize(
    "expiration",
    [
        "2099-01-31T12:00:00Z",
        "2099-01-31T12:00:00+00:00",
        "2099-01-31T12:00:00.5Z",
        "2099-01-31 12:00:00Z",
    ],
)
def test_every_form_of_expiration_that_works_elsewhere(expiration: str) -> None:
    keys = {"AccessKeyId": "a", "SecretAccessKey": "s", "SessionToken": "t"}
    with serving(Reply(201, tokens(tokens={**keys, "Expiration": expiration}))) as stub:
        assert cache(stub, Clock()).grant(FORM).access_key == "a"


@pytest.mark.parametrize(
    "changed",
    [
        {"tokens": {"AccessKeyId": "a", "SecretAccessKey": "very-secret", "SessionToken": "t"}},
        {
            "tokens": {
                "AccessKeyId": "a",
                "SecretAccessKey": "very-secret",
                "SessionToken": "t",
                "Expiration": "2099-01-31T12:00:00",
            }
        },
        {
            "tokens": {
                "AccessKeyId": "a",
                "SecretAccessKey": "very-secret",
                "SessionToken": "t",
                "Expiration": "tomorrow",
            }
        },
        {"bucket_name": None},
    ],
)
def test_an_unreadable_token_shows_no_secret(changed: dict[str, object]) -> None:
    with serving(Reply(201, tokens(None, **changed))) as stub, pytest.raises(ReadFailed) as caught:
        cache(stub, Clock()).grant(FORM)
    assert "atlas 9" in str(caught.value)
    assert "very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_copy_form_without_destination_is_unreadable() -> None:
    with serving(Reply(201, tokens())) as stub, pytest.raises(ReadFailed, match="copy_dest"):
        cache(stub, Clock()).grant(Form("9", "17"))


def test_what_the_service_refuses_is_told() -> None:
    with serving(error(404), error(403)) as stub:
        credentials = cache(stub, Clock())
        with pytest.raises(NotFound):
            credentials.grant(FORM)
        with pytest.raises(AccessDenied):
            credentials.grant(Form("9", "17"))


@pytest.mark.parametrize(("level", "allowed"), [("write", True), (None, True), ("read", False)])
def test_access_levels(level: str | None, allowed: bool) -> None:
    with serving(Reply(201, tokens(access_level=level))) as stub:
        grant = cache(stub, Clock()).grant(FORM)
    if allowed:
        grant.require_write()
        return
    with pytest.raises(AccessDenied, match="clear_token_cache"):
        grant.require_write()


def test_no_secret_is_in_a_repr() -> None:
    with serving(Reply(201, tokens())) as stub:
        shown = repr(cache(stub, Clock()).grant(FORM))
    assert "very-secret" not in shown
    assert "session-token" not in shown
    assert "ASIASTUB" not in shown
