"""A reply is read as other parsers read it, however its bytes are cut; what is none is said to be none."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.reply import MOST, Reply

NAMES = st.sampled_from(["x-mbx-used-weight-1m", "Date", "X", "content-type", "Retry-After", "Set-Cookie"])
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Zs"]), max_size=12)


def read(raw: bytes, *, method: str = "GET", ended: bool = False) -> Reply:
    reply = Reply(method)
    reply.feed(raw)
    if ended:
        reply.end()
    return reply


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Valid replies of every kind of body; the last kind needs an end."""
    status = draw(st.sampled_from([200, 204, 304, 400, 418, 429, 500, 503]))
    headers = [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))]
    body = b"" if status in (204, 304) else draw(st.binary(max_size=200))
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    if status in (204, 304):
        framing = "end"
    if framing == "length":
        headers.append(f"content-length: {len(body)}")
    if framing == "chunks":
        headers.append("Transfer-Encoding: chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=4))})
        chunks = [body[a:b] for a, b in pairwise(cuts)]
        trailer = draw(st.sampled_from([b"", b"x-sum: 1\r\n"]))
        body = b"".join(b"%x;why=not\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n" + trailer + b"\r\n"
    before = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
    )
    head = "\r\n".join([f"HTTP/1.1 {status} Whatever It Is", *draw(st.permutations(headers)), "", ""])
    return before + head.encode("latin-1") + body


def as_h11_reads(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    status, headers, body = 0, list[tuple[bytes, bytes]](), b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        if isinstance(event, h11.Response):
            status, headers = event.status_code, event.headers.raw_items()
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, headers, body


@given(responses(), st.data())
def test_any_reply_in_any_pieces_is_what_another_parser_makes_of_it(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted({0, len(raw), *data.draw(st.lists(st.integers(0, len(raw)), max_size=8))})
    reply = Reply("GET")
    for start, stop in pairwise(cuts):
        assert not reply.whole
        reply.feed(raw[start:stop])
    reply.end()
    assert reply.whole
    status, headers, body = as_h11_reads(raw)
    assert (reply.status, reply.body) == (status, body)
    assert reply.headers == headers


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n"])
)
def test_garbage_is_an_error_of_the_protocol_or_waits_for_more(garbage: bytes, start: bytes) -> None:
    reply = Reply("GET")
    try:
        reply.feed(start + garbage)
    except httpx.RemoteProtocolError:
        assert not reply.whole
    else:
        reply.end()
        assert reply.last


def test_a_kept_connection_is_told_from_one_that_ends() -> None:
    assert not read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na").last
    assert read(b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 1\r\n\r\na").last
    assert read(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na").last
    assert not read(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\ncontent-length: 1\r\n\r\na").last


@pytest.mark.parametrize("more", [b"H", b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb", b"\0"])
def test_what_follows_a_reply_ends_its_connection_and_changes_nothing(more: bytes) -> None:
    reply = read(b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 1\r\n\r\na" + more)
    assert (reply.whole, reply.last, reply.status, reply.body) == (True, True, 200, b"a")
    assert reply.headers == [(b"A", b"b"), (b"content-length", b"1")]


def test_a_head_alone_answers_a_head_request() -> None:
    reply = read(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", method="HEAD")
    assert (reply.whole, reply.last, reply.body) == (True, True, b"")  # a body may follow by mistake


def test_an_offer_of_another_protocol_is_no_change_of_it() -> None:
    reply = read(b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\ncontent-length: 1\r\n\r\na")
    assert (reply.whole, reply.body) == (True, b"a")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 042 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"<html>",
    ],
)
def test_what_cannot_be_a_final_reply_is_an_error_of_the_protocol(raw: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read(raw)


@pytest.mark.parametrize(
    ("raw", "whole"),
    [
        (b"", False),
        (b"HTTP/1.1 200", False),
        (b"HTTP/1.1 200 OK\r\nA: b", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n[1", True),
        (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 3\r\n\r\n[1", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[1\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n[1", False),
    ],
)
def test_an_end_completes_only_a_body_of_untold_length(raw: bytes, whole: bool) -> None:
    assert read(raw, ended=True).whole == whole


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 2**20), (b"", b"HTTP/1.1 100 " + b"x" * 2**20 + b"\r\n\r\n")],
)
def test_a_reply_without_end_is_given_up(head: bytes, piece: bytes) -> None:
    reply = read(head)
    for _ in range(MOST // len(piece) - 1):
        reply.feed(piece)
    with pytest.raises(httpx.RemoteProtocolError):
        reply.feed(2 * piece)


def test_a_reply_that_was_read_goes_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        reply = weakref.ref(read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"))
        assert reply() is None
    finally:
        gc.enable()
