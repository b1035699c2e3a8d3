"""The network, over real sockets: what is sent, and whether a failure means that it was."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.market.request import Answer, Gate, Place, Request
from tradebot.market.transport import KEEPALIVE_MS, RESERVE, NetworkTransport, Sent, certificates

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
SILENCE = b"HTTP/1.1 "
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Server:
    """Answers each request by the next of `answers`: bytes are sent, None cuts the connection.

    Bytes that end in CUT are sent without it, and the connection is closed.
    """

    CUT = b"<cut>"

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        self.address = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"), 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if self.answers else OK
                writer.write((answer or b"").removesuffix(self.CUT))
                if answer is None or answer.endswith(self.CUT):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


class Client:
    """Asks over `network`; unless told otherwise each wait may last two seconds."""

    def __init__(self, network: NetworkTransport) -> None:
        self.network = network

    async def request(self, method: str, target: str = "/", *, timeout: float = 2.0, **other: float) -> Answer:
        return await self.network.send(Request(method, target, times(timeout, **other)))

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    head = partialmethod(request, "HEAD")


def times(timeout: float = 2.0, **other: float) -> dict[str, float]:
    return dict.fromkeys(("connect", "pool", "read", "write"), timeout) | other


@asynccontextmanager
async def served(
    server: Server, *, connections: int = 2, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[Client]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls[0] if tls else None)
    port = listener.sockets[0].getsockname()[1]
    server.address = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    transport = NetworkTransport(httpx.URL(server.address), connections=connections, tls=tls[1] if tls else None)
    async with listener, aclosing(transport):
        yield Client(transport)
        for writer in server.writers:
            writer.close()
        await until(lambda: server.ended == server.connections)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_body_comes_whole_and_the_connection_is_kept() -> None:
    server = Server()
    async with served(server) as client:
        for _ in range(3):
            assert (await client.get()).body == b"{}"
    assert server.connections == 1


async def test_an_order_that_was_cut_off_after_it_went_out_is_not_called_unsent() -> None:
    server = Server(None)
    async with served(server) as client:
        with pytest.raises(httpx.ReadError):
            await client.post()
    assert len(server.requests) == 1


async def test_an_order_on_a_kept_connection_that_is_cut_off_is_not_sent_again() -> None:
    server = Server(OK, None)
    async with served(server) as client:
        await client.get()
        with pytest.raises(httpx.ReadError):
            await client.post()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n[[1" + Server.CUT, httpx.ReadError),
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
            await client.post()


async def test_silence_is_a_read_timeout() -> None:
    server = Server(SILENCE)
    async with served(server) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(timeout=0.1)


async def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    server = Server()
    async with served(server):
        pass
    async with aclosing(NetworkTransport(httpx.URL(server.address), connections=2)) as transport:
        with pytest.raises(httpx.ConnectError) as failure:
            await Client(transport).post()
    assert isinstance(failure.value.__cause__, ConnectionRefusedError)


async def test_a_full_pool_is_a_failure_before_sending() -> None:
    server = Server(*[SILENCE] * 20)
    async with served(server) as client:
        waiting = [asyncio.create_task(client.get(timeout=5)) for _ in range(10)]
        while len(server.requests) < 10:
            await asyncio.sleep(0.01)
        with pytest.raises(httpx.PoolTimeout):
            await client.get(timeout=5, pool=0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_nothing_is_sent_a_second_time_behind_the_clients_back(method: str) -> None:
    server = Server(OK, None)
    async with served(server) as client:
        await client.get()
        with pytest.raises(httpx.ReadError):
            await client.request(method)
    assert len(server.requests) == 2


async def test_what_goes_out_is_the_request_as_it_is_and_nothing_else() -> None:
    server = Server()
    async with served(server) as client:
        headers = (("X-Key", "k"), ("Empty", ""), ("Odd", "\xe9"))
        await client.network.send(Request("POST", "/a%20b?x=%2C,&y=1", times(), headers, b"{}"))
        await client.request("DELETE")
    host = server.address.removeprefix("http://")
    head = f"POST /a%20b?x=%2C,&y=1 HTTP/1.1\r\nHost: {host}\r\n"
    head += "X-Key: k\r\nEmpty: \r\nOdd: \xe9\r\nContent-Length: 2\r\n\r\n"
    assert server.requests == [head.encode("latin-1") + b"{}", f"DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()]


async def test_an_address_may_have_a_path_of_its_own() -> None:
    server = Server()
    async with (
        served(server),
        aclosing(NetworkTransport(httpx.URL(server.address + "/beh%20ind/"), connections=1)) as transport,
    ):
        await Client(transport).get("/it?a=b")
    assert server.requests[0].startswith(b"GET /beh%20ind/it?a=b HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: Request("GET", "/", times(), (("X-Key", "k\r\nX-Other: 1"),)),
        lambda: Request("GET", "/", times(), (("X-Key", "k\n"),)),
        lambda: Request("GET", "/", times(), (("X-Key\r\nA", "k"),)),
        lambda: Request("GET", "/", times(), (("X Key", "k"),)),
        lambda: Request("GET", "/", times(), (("X-Key", "ключ"),)),
        lambda: Request("GET /other HTTP/1.1\r\n\r\nGET", "/", times()),
        lambda: Request("GET /other HTTP/1.1\r\nX: GET", "/", times()),
        lambda: Request("GET", "/ HTTP/1.1\r\nX: y", times()),
        lambda: Request("GET", "/a b", times()),
        lambda: Request("GET", "", times()),
    ],
)
async def test_a_request_that_would_be_read_as_another_one_is_not_sent(request_of: Callable[[], Request]) -> None:
    server = Server()
    async with served(server) as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.network.send(request_of())
    assert not server.connections


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}" + Server.CUT,
        OK + b"{}",
        OK + OK,
        OK + Server.CUT,
    ],
)
async def test_a_connection_that_the_venue_ends_or_goes_on_writing_to_is_not_used_again(answer: bytes) -> None:
    server = Server(answer)
    async with served(server) as client:
        for _ in range(2):
            assert (await client.get()).body == b"{}"
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_an_end_that_came_while_the_loop_was_busy_is_seen_before_an_order_is_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hang_up, hung_up = threading.Event(), threading.Event()

        def answer() -> None:
            for _ in range(2):
                with listener.accept()[0] as peer:
                    peer.recv(1_000)
                    peer.sendall(OK)
                    hang_up.wait(5)
                hung_up.set()

        async with aclosing(NetworkTransport(httpx.URL(url), connections=2)) as transport:
            both = asyncio.create_task(asyncio.to_thread(answer))
            await Client(transport).get()
            hang_up.set()
            hung_up.wait(5)  # and the loop does not look
            assert (await Client(transport).post()).status == 200
            await both


async def test_a_kept_connection_is_not_used_for_ever() -> None:
    server = Server()
    async with served(server) as client:
        await asyncio.gather(*(client.get() for _ in range(3)))
        for connection in client.network._idle:
            connection.idle_since -= KEEPALIVE_MS + 1
        await client.get()
        await until(lambda: server.ended == 3)
    assert server.connections == 4


async def test_connections_that_were_opened_before_are_those_that_requests_use() -> None:
    server = Server()
    async with served(server, connections=4) as client:
        await client.get()
        await client.network.connect(3, 1.0)
        assert (server.connections, len(server.requests)) == (3, 1)
        await asyncio.gather(*(client.get() for _ in range(3)))
        assert server.connections == 3
        await client.network.connect(60, 1.0)
        assert server.connections == 4, "no more than there may be"


async def test_what_would_be_too_old_when_it_is_needed_is_replaced() -> None:
    server = Server()
    async with served(server) as client:
        await client.get()
        client.network._idle[0].idle_since -= KEEPALIVE_MS // 2 + 1
        await client.network.connect(1, 1.0)
        await client.get()
        await until(lambda: server.ended == 1)
    assert server.connections == 2


async def test_who_cannot_connect_beforehand_says_nothing_and_holds_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        transport = NetworkTransport(httpx.URL(url), connections=3)
        await transport.connect(3, 1.0)
        with pytest.raises(httpx.ConnectError):
            await Client(transport).get()
        await transport.aclose()


async def test_connections_that_are_as_silent_as_one_that_did_not_answer_are_not_used_again() -> None:
    server = Server(OK, OK, OK, SILENCE)  # as when the machine has another address now
    async with served(server, connections=3) as client:
        await asyncio.gather(*(client.get() for _ in range(3)))
        await asyncio.sleep(0.01)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(timeout=0.1)
        assert (await client.post()).status == 200
    assert server.connections == 4


async def test_what_comes_unasked_is_taken_for_no_reply() -> None:
    server = Server()
    async with served(server) as client:
        await client.get()
        server.writers[0].write(OK.replace(b"{}", b"[]"))
        await until(lambda: server.ended == 1)
        assert (await client.get()).body == b"{}"
    assert server.connections == 2


async def test_no_more_connections_than_allowed_are_opened() -> None:
    server = Server()
    async with served(server, connections=3) as client:
        await asyncio.gather(*(client.get() for _ in range(60)))
    assert server.connections <= 3 + RESERVE
    assert len(server.requests) == 60


@pytest.mark.parametrize("status", [204, 304])
async def test_replies_without_a_body_end_with_their_head(status: int) -> None:
    server = Server(b"HTTP/1.1 %d No\r\ncontent-length: 5\r\n\r\n" % status)
    async with served(server) as client:
        reply = await client.get()
        assert (reply.status, reply.body) == (status, b"")
        await client.get()
    assert server.connections == 1


async def test_a_head_request_is_answered_by_a_head() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    async with served(server) as client:
        reply = await client.head()
    assert (reply.headers["content-length"], reply.body) == ("5", b"")


@pytest.mark.parametrize(
    "frame",
    [
        lambda body: b"content-length: %d\r\n\r\n" % len(body) + body,
        lambda body: b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        lambda body: b"\r\n" + body + Server.CUT,
    ],
)
async def test_compressed_bodies_come_unpacked(frame: Callable[[bytes], bytes]) -> None:
    text = b"[" + b"1," * 100_000 + b"1]"
    server = Server(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + frame(gzip.compress(text))
    )
    async with served(server) as client:
        assert (await client.get()).body == text


async def test_headers_of_a_compressed_reply_may_hold_any_bytes() -> None:
    body = gzip.compress(b"[1]")
    head = b"HTTP/1.1 200 OK\r\nx-note: caf\xe9\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with served(Server(head + body)) as client:
        answer = await client.get()
    assert (answer.body, answer.headers["x-note"]) == (b"[1]", "caf\xe9")


async def test_a_redirect_is_a_reply() -> None:
    server = Server(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")
    async with served(server) as client:
        assert (await client.get()).status == 302
    assert len(server.requests) == 1


async def test_a_trickle_is_no_answer_in_time() -> None:
    ended = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"a: b\r\n")
            await asyncio.sleep(0.01)
        ended.set()

    listener = await asyncio.start_server(trickle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, aclosing(NetworkTransport(httpx.URL(url), connections=1)) as transport:
        with pytest.raises(httpx.ReadTimeout):
            await Client(transport).get(timeout=0.1)
        await asyncio.wait_for(ended.wait(), 5)


async def test_who_is_cancelled_leaves_neither_a_connection_nor_a_place_taken() -> None:
    server = Server(*[SILENCE] * 9)
    async with served(server, connections=1) as client:
        waiting = [asyncio.create_task(client.get()) for _ in range(9 + 3)]
        await until(lambda: len(server.requests) == 9)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: server.ended == 9)
        replies = await asyncio.gather(*(client.get() for _ in range(9)))
        assert [reply.body for reply in replies] == [b"{}"] * 9
    assert server.connections <= 18


async def test_what_waits_for_a_connection_goes_out_before_the_reply_that_made_room_is_read() -> None:
    server = Server()
    async with served(server) as client:
        gate, order = Gate(1), list[str]()
        await client.get()

        async def ask(name: str) -> None:
            def begin(place: Place) -> Sent:
                order.append(f"{name} goes out")
                sent = client.network.begin(Request("GET", f"/{name}", times()), place.leave)
                assert sent is not None
                return sent

            await (await gate.taken(begin)).answer()
            order.append(f"{name} is read")

        await asyncio.gather(ask("1"), ask("2"), ask("3"))
    assert order == ["1 goes out", "2 goes out", "1 is read", "3 goes out", "2 is read", "3 is read"]
    assert server.connections == 1


async def test_after_a_refusal_nothing_goes_out_before_it_is_read() -> None:
    server = Server(b"HTTP/1.1 418 Banned\r\ncontent-length: 0\r\n\r\n")
    async with served(server) as client:
        over = list[str]()
        assert not (await client.network.send(Request("GET", "/", times()), lambda: over.append("over"))).good
        assert not over
        assert (await client.network.send(Request("GET", "/", times()), lambda: over.append("over"))).good
        assert over
    assert server.connections == 1


async def test_who_is_cancelled_when_the_reply_is_there_does_no_harm_to_the_next_request() -> None:
    server = Server()
    async with served(server) as client:
        left: list[asyncio.Task[Answer]] = []

        def soon() -> None:
            asyncio.get_running_loop().call_soon(left[0].cancel)

        left.append(asyncio.create_task(client.network.send(Request("GET", "/", times()), soon)))
        await asyncio.wait(left)
        assert left[0].cancelled()
        assert (await client.get()).body == b"{}"
        assert server.connections == 1, "it was whole, so the connection could be kept"
        replies = await asyncio.gather(*(client.get() for _ in range(9)))
        assert {reply.body for reply in replies} == {b"{}"}


async def test_closing_ends_what_waits_and_lets_nothing_new_out() -> None:
    server = Server(OK, SILENCE)
    async with served(server) as client:
        await asyncio.gather(client.get())
        waiting = asyncio.create_task(client.post())
        await until(lambda: len(server.requests) == 2)
        await client.network.aclose()
        with pytest.raises(httpx.ReadError):
            await waiting
        with pytest.raises(httpx.ConnectError):
            await client.get()
        await until(lambda: server.ended == server.connections)
    assert len(server.requests) == 2


# --- the way there


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for "localhost", and one of a client that trusts it."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]),
    )
    today = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, today, today + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    file: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def run(loop: Callable[[], asyncio.AbstractEventLoop], scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario)


async def test_a_name_that_nobody_knows_is_a_connect_error() -> None:
    for host in ("nowhere.invalid", "a" * 64 + ".invalid"):
        url = f"http://{host}"
        async with aclosing(NetworkTransport(httpx.URL(url), connections=1)) as transport:
            with pytest.raises(httpx.ConnectError):
                await Client(transport).get()


class Elsewhere(asyncio.SelectorEventLoop):
    """Resolves every name to `addresses`, and counts how often it was asked to."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        super().__init__()
        self.addresses = addresses
        self.asked = 0

    async def getaddrinfo(self, *args: Any, **more: Any) -> Any:
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


def test_the_addresses_of_a_name_are_tried_in_turn_and_the_one_that_answers_is_kept() -> None:
    with socket.socket() as deaf, socket.create_server(("127.0.0.1", 0), backlog=16) as good:
        deaf.bind(("127.0.0.1", 0))
        loop = Elsewhere(deaf.getsockname(), good.getsockname())

        async def scenario() -> list[Any]:
            transport = NetworkTransport(httpx.URL("http://venue.test"), connections=2)
            both = [(await transport._reached(None))[1] for _ in range(3)]
            assert transport._addresses[0][1] == good.getsockname()
            return both

        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            reached = runner.run(scenario())
        assert [each.getpeername() for each in reached] == [good.getsockname()] * 3
        for each in reached:
            each.close()
    assert loop.asked == 1


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("silent", [True, False])
def test_an_address_that_connects_but_brings_nothing_is_not_begun_with_again(
    contexts: Contexts, encrypted: bool, silent: bool
) -> None:
    loop, server, scheme = Elsewhere(), Server(), "https" if encrypted else "http"

    async def useless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if silent:
            await reader.read(-1)
        writer.close()

    async def scenario() -> None:
        bad = await asyncio.start_server(useless, "127.0.0.1", 0)
        good = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=contexts[0] if encrypted else None)
        loop.addresses = tuple(each.sockets[0].getsockname() for each in (bad, good))
        url = f"{scheme}://localhost"
        transport = NetworkTransport(httpx.URL(url), connections=1, tls=contexts[1] if encrypted else None)
        client = Client(transport)
        async with bad, good, aclosing(transport):
            with pytest.raises(httpx.TransportError):
                await client.get(timeout=0.2)
            for _ in range(2):
                transport._resolved -= 60  # and the resolver names the same ones in the same order
                assert (await client.get(connect=0.2)).status == 200
        await until(lambda: server.ended == server.connections)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(scenario())


def test_an_address_that_is_silent_leaves_time_for_the_next_one() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_server(("127.0.0.1", 0)) as good:
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(full.getsockname())

        async def scenario(timeout_s: float) -> None:
            transport = NetworkTransport(httpx.URL("http://venue.test"), connections=1)
            connection = await transport._fresh(timeout_s)
            connection.close()
            await transport.aclose()

        with asyncio.Runner(loop_factory=lambda: Elsewhere(full.getsockname(), good.getsockname())) as runner:
            runner.run(scenario(1.0))
        with (
            asyncio.Runner(loop_factory=lambda: Elsewhere(full.getsockname())) as runner,
            pytest.raises(httpx.ConnectTimeout),
        ):
            runner.run(scenario(0.2))
        for each in crowd:
            each.close()


# --- encrypted


def test_the_usual_certificates_are_read_once_and_wanted_of_everybody() -> None:
    assert certificates() is certificates()
    assert certificates().check_hostname
    assert certificates().verify_mode is ssl.CERT_REQUIRED


@LOOPS
def test_an_encrypted_connection_is_kept_and_its_end_is_seen(
    contexts: Contexts, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        server = Server(OK, OK, OK + Server.CUT, OK, None, SILENCE)
        async with served(server, tls=contexts) as client:
            for _ in range(4):
                assert (await client.get()).body == b"{}"
            assert server.connections == 2
            with pytest.raises(httpx.ReadError):
                await client.post()
            with pytest.raises(httpx.ReadTimeout):
                await client.post(timeout=0.2)
            await until(lambda: server.ended == 3)
        assert len(server.requests) == 6

    run(loop, scenario())


@LOOPS
def test_a_certificate_for_another_name_or_of_nobody_we_trust_is_a_connect_error(
    contexts: Contexts, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        server = Server()
        async with served(server, tls=contexts):
            for url, trusted in (
                (server.address.replace("localhost", "127.0.0.1"), contexts[1]),
                (server.address, None),
            ):
                async with aclosing(NetworkTransport(httpx.URL(url), connections=1, tls=trusted)) as transport:
                    with pytest.raises(httpx.ConnectError) as failure:
                        await Client(transport).post()
                assert isinstance(failure.value.__cause__, ssl.SSLError)
        assert not server.requests

    run(loop, scenario())


@LOOPS
def test_a_server_that_does_not_encrypt_or_answer_is_a_failure_before_sending(
    contexts: Contexts, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        open_sockets = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_sockets.append(writer)
            await reader.read(-1)
            writer.close()

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            writer.close()

        for serve, kind in ((silent, httpx.ConnectTimeout), (plain, httpx.ConnectError)):
            listener = await asyncio.start_server(serve, "127.0.0.1", 0)
            url = f"https://localhost:{listener.sockets[0].getsockname()[1]}"
            transport = NetworkTransport(httpx.URL(url), connections=1, tls=contexts[1])
            async with listener, aclosing(transport):
                with pytest.raises(kind):
                    await Client(transport).post(timeout=5, connect=0.2)
                await until(lambda: all(each.is_closing() for each in open_sockets))

    run(loop, scenario())


# --- whatever comes


@LOOPS
def test_no_answer_at_all_provokes_anything_but_errors_of_httpx(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    starts = st.sampled_from(
        [b"", OK, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
    )
    ends = st.sampled_from([b"", Server.CUT])
    answers = st.lists(st.builds(lambda *parts: b"".join(parts), starts, st.binary(max_size=80), ends), max_size=5)

    @given(answers)
    @settings(max_examples=25, deadline=None)
    def holds(given_answers: Sequence[bytes]) -> None:
        async def scenario() -> None:
            server = Server(*given_answers)
            async with served(server) as client:
                for _ in given_answers:
                    with suppress(httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError):
                        await client.get(read=0.03)
                server.answers.clear()
                assert (await client.get()).body == b"{}"
            assert len(server.requests) == len(given_answers) + 1

        run(loop, scenario())

    holds()
