"""``flytelite`` and ``python -m flytelite``."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    open_streams()
    try:
        code = _run()
    except KeyboardInterrupt:  # while the commands were still being imported
        code = INTERRUPTED
    sys.exit(code)


def open_streams() -> None:
    """Have stdin, stdout and stderr lead nowhere where they are closed, as some supervisors start their programs.

    What is opened next would take their numbers, and be written to by whoever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _run() -> int:
    from flytelite.cli import starting

    code = starting.run(sys.argv[1:])
    if code is None:
        from flytelite.cli.application import run

        code = run(sys.argv[1:])
    return code


if __name__ == "__main__":
    main()
