"""A catalog of a stub: for faults that a real server does not have."""

from polly_core.data_management import Catalog
from polly_core.transport.default import PollySession
from polly_core.transport.retry import Retrier
from tests.transport.stub import Stub, Waits, retrier, service


def stub_session(stub: Stub, waits: Waits | None = None) -> PollySession:
    runner: Retrier = retrier(waits or Waits())
    return PollySession(service(stub.url), retrier=runner)


def stub_catalog(stub: Stub, waits: Waits | None = None) -> Catalog:
    return Catalog("9", session=stub_session(stub, waits))
