"""``flytelite up`` without the command line's parser, whose imports would take a good part of its start.

What is not plainly said is left to that parser: it knows help, abbreviations, and what to say of mistakes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flytelite.cli.failure import FAILED, INTERRUPTED, drop_output, tell

MAX_PORT = 65535
_SWITCHES = ("--ephemeral", "--detach", "--write-config", "--print-config", "--verbose")
_TEXTS = ("--host", "--executor", "--durability")
_NUMBERS = {"--port": range(MAX_PORT + 1), "--grpc-port": range(1, MAX_PORT + 1), "--ready-fd": range(2**31)}


def run(arguments: Sequence[str]) -> int | None:
    """Run the command and return its exit code; None when these arguments are for the command line's parser."""
    values = options(arguments[1:]) if arguments[:1] == ["up"] else None
    if values is None:
        return None
    from flytelite.cli import serving

    try:
        serving.up(**values)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in the parser's commands
        drop_output()
        return FAILED
    except Exception as error:  # the last resort of a command line: it tells the user
        return tell(error, verbose=values.get("verbose", False))
    return 0


def options(words: Sequence[str]) -> dict[str, Any] | None:
    """The options that the words say, by parameter; None for words that are not plain options and their values."""
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, text = word.partition("=")
        value: Any = True
        if word not in _SWITCHES:
            value = _value(name, text if equals else next(rest, ""))
            if value is None:
                return None
        found[name.removeprefix("--").replace("-", "_")] = value
    return found


def _value(name: str, text: str) -> str | int | Path | None:
    if not text or text.startswith("-"):
        return None
    if name == "--data-dir":
        return Path(text)
    if name in _NUMBERS and text.isascii() and text.isdecimal():
        return int(text) if int(text) in _NUMBERS[name] else None
    return text if name in _TEXTS else None
