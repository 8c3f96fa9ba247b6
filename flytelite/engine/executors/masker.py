"""What an attempt prints, on its way into the log, without the secrets in it.

Run as ``python -I -S masker.py INPUT LOG``: the numbers of the descriptors to read and to write; on stdin is what to
mask, in JSON. It ends when all who print have closed their end, or, with what is there by then, when the signal OVER
says that the attempt is over: processes that were forked from the same parent may hold its end too. A process of its
own, because neither the attempt nor the log may depend on the server's life. Standard library only, and little of it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterable

MASK = b"***"
CHUNK = 65536
OVER = signal.SIGURG
"""It does nothing to a masker that does not listen yet."""


class Masker:
    """Masks values in a stream that comes in pieces; what may be the beginning of a value waits for the rest of it."""

    def __init__(self, values: Iterable[str]) -> None:
        # The longest first: a value may be the beginning of another one.
        self._values = sorted({value.encode() for value in values if value}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value) for value in self._values) or rb"(?!)")
        self._waiting = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be written by now."""
        text = self._waiting + piece
        hold = self._hold(text)
        written, position = [], 0
        for match in self._pattern.finditer(text):
            if match.start() >= hold:
                break
            written += [text[position : match.start()], MASK]
            position = match.end()
        end = max(position, hold)
        written.append(text[position:end])
        self._waiting = text[end:]
        return b"".join(written)

    def end(self) -> bytes:
        """The rest."""
        text, self._waiting = self._waiting, b""
        return self._pattern.sub(MASK, text)

    def _hold(self, text: bytes) -> int:
        """Where the longest end of the text begins that a value begins with."""
        longest = len(self._values[0]) - 1 if self._values else 0
        for position in range(max(0, len(text) - longest), len(text)):
            end = text[position:]
            if any(len(end) < len(value) and value.startswith(end) for value in self._values):
                return position
        return len(text)


def masked(content: bytes, values: Iterable[str]) -> bytes:
    """All of the content, masked."""
    masker = Masker(values)
    return masker.feed(content) + masker.end()


def main() -> None:
    """Copy from one descriptor to the other."""
    source, log = int(sys.argv[1]), int(sys.argv[2])
    masker = Masker(json.load(sys.stdin))
    signal.signal(OVER, lambda *_: os.set_blocking(source, False))
    while piece := _read(source):
        _write(log, masker.feed(piece))
    _write(log, masker.end())


def _read(source: int) -> bytes:
    """What was printed; nothing at the end."""
    try:
        return os.read(source, CHUNK)
    except BlockingIOError:
        return b""


def _write(log: int, content: bytes) -> None:
    while content:
        content = content[os.write(log, content) :]


if __name__ == "__main__":
    main()
