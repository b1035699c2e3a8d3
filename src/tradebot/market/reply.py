"""A reply of a venue, put together from the bytes as they come in."""

from __future__ import annotations

import httptools
import httpx

MOST = 64 * 1024 * 1024  # bytes of a reply, head and body
FINAL = range(200, 1000)  # replies that no other follows


class Reply:
    """One reply as its bytes come in, until it is `whole`; `last` if nothing more may come over its connection.

    When it `came` (`monotonic_ms`) is for its reader to note.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.came = 0.0
        self.headers: list[tuple[bytes, bytes]] = []
        self.whole = False
        self.last = False
        self._parts: list[bytes] = []
        self._size = 0
        self._in_head = True
        self._bare = method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """The body as it was sent, perhaps compressed."""
        return b"".join(self._parts)

    def feed(self, data: bytes) -> None:
        """Take in more of it; `httpx.RemoteProtocolError` where it is no HTTP or too much."""
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.whole:
                raise httpx.RemoteProtocolError("an answer that is not HTTP") from None
            self.last = True  # something other followed it
        if self.whole:
            del self._parser  # which holds on to this and the body
        elif self._size > MOST:
            raise httpx.RemoteProtocolError("an answer without end")

    def end(self) -> None:
        """Nothing more will come, which ends a body whose length was not told."""
        told = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        self.whole = self.whole or not (self._in_head or told)
        self.last = True

    # --- called by the parser

    def on_message_begin(self) -> None:
        """The first byte, also of what follows a reply of the kind "100 Continue"."""
        if self.whole:
            self.last = True
        else:
            self.headers, self._in_head = [], True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those that follow a body are left out."""
        if self._in_head and not self.whole:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self.whole:
            return
        self.status = self._parser.get_status_code()
        if self.status in FINAL:
            self._in_head = False
            self.whole = self.last = self._bare
        elif self.status not in range(100, 200):
            raise ValueError(self.status)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.whole:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The end of the body, if its length was told."""
        if not (self.whole or self._in_head):
            self.whole, self.last = True, not self._parser.should_keep_alive()
