"""A real socket: answers that are lost, and bodies that are refused."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn

from polly_core.server.connection import CuttableProtocol
from tests.server.house import R9, TestHouse, envelope


@pytest.fixture
def port(house: TestHouse) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        config = uvicorn.Config(house.app, http=CuttableProtocol, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as opened:
        yield opened


def test_a_dropped_answer_cuts_the_connection_without_a_byte(
    house: TestHouse, connection: http.client.HTTPConnection
) -> None:
    house.create("GSE1")
    house.suffer(drop_rate=1)
    body = json.dumps(envelope("GSE1", {"data_type": "new"}))
    connection.request("PATCH", f"{R9}/datasets/GSE1", body, {"x-api-key": str(house.writer.key)})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
    connection.request("GET", f"{R9}/datasets/GSE1", headers={"x-api-key": str(house.reader.key)})
    answer = json.load(connection.getresponse())
    assert answer["data"]["attributes"]["data_type"] == "new"


def test_a_refused_body_leaves_the_connection_usable(
    house: TestHouse, connection: http.client.HTTPConnection
) -> None:
    headers = {"x-api-key": str(house.writer.key)}
    for _ in range(2):
        connection.request("POST", f"{R9}/datasets", b"x" * (16 * 1024 * 1024 + 1), headers)
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.load(answer)["errors"][0]["title"] == "Payload too large"


def test_ids_reach_the_server_as_clients_send_them(
    house: TestHouse, connection: http.client.HTTPConnection
) -> None:
    house.create("A-1")
    headers = {"x-api-key": str(house.reader.key)}
    for path, status in (
        (f"{R9}/datasets/%41-1", 200),
        (f"{R9}/datasets/A-1?x=1", 200),
        (f"{R9}/datasets?page%5Bsize%5D=1", 200),
        (f"{R9}/datasets/A%2F1", 404),
        (f"{R9}/datasets/A%201", 400),
        (f"{R9}/datasets/", 404),
    ):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, path
