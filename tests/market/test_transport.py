"""The network, over real sockets: what is sent, and whether a failure means that it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tradebot.market.transport import NetworkTransport

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Answers each request by the next of `answers`: bytes are sent, None cuts the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.connections = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                answer = self.answers.pop(0) if self.answers else OK
                writer.write(answer or b"")
                if answer is None or b"content-length: 99" in answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    transport = NetworkTransport(connections=2, encrypted=False)
    async with listener, httpx.AsyncClient(transport=transport, timeout=2) as client:
        yield client


async def test_a_body_comes_whole_and_the_connection_is_kept() -> None:
    server = Server()
    async with served(server) as client:
        for _ in range(3):
            assert (await client.get(server.address)).json() == {}
    assert server.connections == 1


async def test_an_order_that_was_cut_off_after_it_went_out_is_not_called_unsent() -> None:
    server = Server(None)
    async with served(server) as client:
        with pytest.raises(httpx.ReadError):
            await client.post(server.address + "/order")
    assert len(server.heads) == 1


async def test_an_order_on_a_kept_connection_that_is_cut_off_is_not_sent_again() -> None:
    server = Server(OK, None)
    async with served(server) as client:
        await client.get(server.address)
        with pytest.raises(httpx.ReadError):
            await client.post(server.address + "/order")
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n[[1", httpx.ReadError),
        (b"NOT HTTP AT ALL\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd", httpx.DecodingError),
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_is_an_error_of_httpx(
    answer: bytes, kind: type[httpx.RequestError]
) -> None:
    server = Server(answer)
    async with served(server) as client:
        with pytest.raises(kind):
            await client.post(server.address)


async def test_silence_is_a_read_timeout() -> None:
    server = Server(b"HTTP/1.1 ")
    async with served(server) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.address, timeout=0.1)


async def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    server = Server()
    async with served(server):
        pass
    async with httpx.AsyncClient(transport=NetworkTransport(connections=2, encrypted=False)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(server.address)


async def test_a_full_pool_is_a_failure_before_sending() -> None:
    server = Server(*[b"HTTP/1.1 "] * 20)
    async with served(server) as client:
        waiting = [asyncio.create_task(client.get(server.address, timeout=5)) for _ in range(10)]
        while len(server.heads) < 10:
            await asyncio.sleep(0.01)
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(server.address, timeout=httpx.Timeout(5, pool=0.1))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_nothing_is_sent_a_second_time_behind_the_clients_back(method: str) -> None:
    server = Server(OK, None)
    async with served(server) as client:
        await client.get(server.address)
        with pytest.raises(httpx.ReadError):
            await client.request(method, server.address)
    assert len(server.heads) == 2
