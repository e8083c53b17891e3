"""Answers as services and what stands before them really send them, byte by byte."""

import gzip
import socket
import threading
from collections.abc import Iterator

import pytest

from polly_core.transport.answers import Answer
from polly_core.transport.http1 import BrokenAnswerError, Exchanger

HEAD = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


class Line:
    """An exchanger, and the end of its connection that the service has."""

    def __init__(self, ours: socket.socket, service: socket.socket) -> None:
        ours.settimeout(5)
        service.settimeout(5)
        self.exchanger = Exchanger(ours)
        self.service = service

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.exchanger.reusable

    def answered(self, *parts: bytes, close: bool = False, body: bytes | None = None) -> Answer:
        """What the exchanger makes of an answer that comes in these parts."""

        def serve() -> None:
            self.service.recv(65536)
            for part in parts:
                self.service.sendall(part)
            if close:
                self.service.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return self.exchanger.exchange(HEAD, body)
        finally:
            thread.join()


@pytest.fixture
def line() -> Iterator[Line]:
    ours, service = socket.socketpair()
    with ours, service:
        yield Line(ours, service)


def test_an_answer_with_a_length(line: Line) -> None:
    reply = line.answered(b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\nab")
    assert reply == Answer(201, {"x-a": "b", "content-length": "2"}, b"ab")
    assert line.reusable


def test_an_answer_in_single_bytes(line: Line) -> None:
    whole = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\nabc"
    reply = line.answered(*(bytes([byte]) for byte in whole))
    assert (reply.headers["retry-after"], reply.body, line.reusable) == ("7", b"abc", True)


def test_an_answer_in_chunks(line: Line) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = line.answered(head, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\n\r\n")
    assert (reply.body, line.reusable) == (b"abcde", True)


def test_an_answer_that_ends_with_the_connection(line: Line) -> None:
    reply = line.answered(b"HTTP/1.0 502 Bad\r\nServer: old\r\n\r\nab", b"cd", close=True)
    assert (reply.status, reply.body, line.reusable) == (502, b"abcd", False)


def test_an_answer_without_a_body_needs_no_length(line: Line) -> None:
    reply = line.answered(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (reply.status, reply.body, line.reusable) == (204, b"", True)


def test_announcements_are_not_the_answer(line: Line) -> None:
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    reply = line.answered(b"HTTP/1.1 100 Continue\r\n\r\n" + early + final)
    assert (reply.status, reply.body, line.reusable) == (200, b"a", True)
    assert "link" not in reply.headers


def test_the_next_answer_has_nothing_of_the_one_before(line: Line) -> None:
    line.answered(b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 1\r\n\r\na")
    reply = line.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
    assert reply == Answer(200, {"content-length": "1"}, b"b")
    assert line.reusable


@pytest.mark.parametrize("header", [b"Connection: close", b"connection: Close"])
def test_a_service_that_closes_says_so(line: Line, header: bytes) -> None:
    line.answered(b"HTTP/1.1 200 OK\r\n" + header + b"\r\nContent-Length: 1\r\n\r\na")
    assert not line.reusable


@pytest.mark.parametrize(
    "surplus",
    [b"more", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"HTTP/1.1 500 No\r\n"],
)
def test_what_follows_an_answer_is_no_part_of_any(line: Line, surplus: bytes) -> None:
    reply = line.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + surplus)
    assert (reply.status, reply.body, line.reusable) == (200, b"a", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_half_an_answer_is_none(line: Line, answer: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        line.answered(answer, close=True)


def test_packed_answers(line: Line) -> None:
    packed = gzip.compress(b"a" * 5000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    assert line.answered(head % (b"GZIP", len(packed)) + packed).body == b"a" * 5000
    assert line.answered(head % (b"identity", 2) + b"ab").body == b"ab"
    assert line.answered(head % (b"gzip", 0)).body == b""


@pytest.mark.parametrize(("coding", "data"), [(b"br", b"xx"), (b"gzip", b"\x1f\x8b\x08cut off")])
def test_what_cannot_be_unpacked_is_broken(line: Line, coding: bytes, data: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    with pytest.raises(BrokenAnswerError, match="packed"):
        line.answered(head % (coding, len(data)) + data)


def test_a_refusal_before_everything_was_read_is_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            service, _ = listener.accept()
            with service:
                service.recv(100)
                service.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
                service.shutdown(socket.SHUT_WR)
                while service.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=5) as ours:
            reply = Exchanger(ours).exchange(HEAD, b"x" * (8 << 20))
        thread.join()
    assert (reply.status, reply.body) == (413, b"big")


def test_a_refusal_with_the_pipe_broken_is_heard() -> None:
    class Broken:
        """What a service leaves that answered and closed while the request was still sent."""

        def sendall(self, data: bytes, /) -> None:
            raise BrokenPipeError

        def recv(self, size: int, /) -> bytes:
            return b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"

    exchanger = Exchanger(Broken())
    reply = exchanger.exchange(HEAD, b"x")
    assert (reply.status, reply.body, exchanger.reusable) == (413, b"big", False)
