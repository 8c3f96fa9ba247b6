"""How a command fails: one plain sentence that says what to do, and an exit code."""

from __future__ import annotations

FAILED = 1
USAGE = 2
NEVER_STARTED = 3
"""The server never answered; a supervisor that restarts it would do so for ever."""
INTERRUPTED = 130


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
