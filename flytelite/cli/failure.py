"""How a command fails: one plain sentence that says what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys

from flytelite.errors import FlyteError

FAILED = 1
USAGE = 2
NEVER_STARTED = 3
"""The server never answered; a supervisor that restarts it would do so for ever."""
INTERRUPTED = 130
_OF_THE_MACHINE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE),
}
"""Errors of files that no program can help."""
_UNDECODED = re.compile("[\udc80-\udcff]")
"""How Python hands on bytes of arguments and paths that its encoding does not know."""
_SHOWN = 60
"""Characters before and after what is wrong."""


class Failure(Exception):
    """A command cannot go on. The sentence is all that the user reads; only ``--watch`` shows the detail too."""

    def __init__(self, sentence: str, exit_code: int = FAILED, detail: str = "") -> None:
        self.sentence = sentence
        self.exit_code = exit_code
        self.detail = detail
        super().__init__(sentence)


class Usage(Failure):
    """The command line, or the code it names, is not something that could ever work."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, USAGE)


def tell(error: Exception, verbose: bool) -> int:
    """Say on stderr what went wrong, with the traceback if ``verbose``; the exit code that goes with it."""
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"flytelite: {sentence_of(error, verbose)}", file=sys.stderr)
    if isinstance(error, OSError) and not error.filename:
        drop_output()  # or what it could not write is tried again at the exit, with another message and code
    if isinstance(error, Failure):
        return error.exit_code
    return USAGE if _undecoded(error) else FAILED


def _undecoded(error: Exception) -> str:
    """What was given to the program and is no UTF-8, as Python shows it, where that is what went wrong."""
    if not isinstance(error, UnicodeEncodeError) or not _UNDECODED.search(error.object, error.start, error.end):
        return ""
    return ascii(error.object[max(error.start - _SHOWN, 0) : error.end + _SHOWN])


def drop_output() -> None:
    """Let what is still to be printed go nowhere, since nobody reads stdout any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sentence_of(error: Exception, verbose: bool) -> str:
    """What the user reads of an error."""
    if isinstance(error, Failure):
        return error.sentence
    if isinstance(error, FlyteError):
        return error.message
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:  # without a name it is mostly stdout's
        return f"{error.filename or 'what is read or written'} cannot be used: {error.strerror}"
    if isinstance(error, FileNotFoundError) and not error.filename:  # said of the current folder, by getcwd
        return "the folder that this was called in is gone; change to another one"
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's, in flytekit's own words too
        return "there is no such home directory; set HOME, or write paths out instead of beginning them with ~"
    if text := _undecoded(error):
        return (
            f"{text} is no UTF-8, as names and inputs have to be; where it looks like that only here, set PYTHONUTF8=1 "
            "or a locale of UTF-8"
        )
    hint = "" if verbose else "; --verbose shows where"
    return f"this is a bug in flytelite: {type(error).__name__}: {error}{hint}"
