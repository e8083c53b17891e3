"""The HTTP protocol of the server's own process: uvicorn's, which can also cut a connection."""

from collections.abc import Callable
from typing import cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CUT = "polly.cut_connection"


class CuttableProtocol(HttpToolsProtocol):
    """Give to ``uvicorn.Config(http=…)`` so that rehearsals can lose answers."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions = {CUT: {"cut": self.transport.abort}}
        cast(Scope, self.scope)["extensions"] = extensions


def cutter(scope: Scope) -> Callable[[], None] | None:
    """What cuts the connection of this request; None where the process cannot."""
    extension = scope.get("extensions", {}).get(CUT)
    return None if extension is None else cast(Callable[[], None], extension["cut"])
