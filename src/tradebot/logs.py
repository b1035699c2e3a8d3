"""Logs and tracebacks on stderr, without what a stranger could use.

Nothing here or in the libraries is meant to log a secret; what looks like one is hidden all the same.
"""

from __future__ import annotations

import logging
import re
import sys

HIDDEN = "…"
CHATTY = ("httpx", "httpcore", "asyncio", "filelock")  # httpx logs whole URLs, signatures included
_SECRETS = re.compile(
    r"(?<=signature=)[^&\s\"']+"
    r"|(?<=://)[^/@\s\"']+(?=@)"  # name and password in an address
    r"|-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)"
    r"|(?<![A-Za-z0-9])(?![0-9a-f]{64}(?![A-Za-z0-9]))[A-Za-z0-9]{64}(?![A-Za-z0-9])",  # a key, but no file's SHA-256
    re.DOTALL,
)


def redacted(text: str) -> str:
    """The text without signatures, private keys and what looks like an API key or its secret."""
    return _SECRETS.sub(HIDDEN, text)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def log_to_stderr(level: str) -> None:
    """Show logs from `level` on, exceptions included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
