"""``flytelite`` and ``python -m flytelite``."""

from __future__ import annotations

import io
import os
import sys

INTERRUPTED = 130
PYTHONS = ((3, 11), (3, 12))
"""For which flytekit can be installed. uv passes over the upper bound, and then flytekit fails when it is used."""


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

    What is opened next would take their numbers, and be written to by whoever prints. What their encoding does not
    have, as ASCII has no umlauts, is printed as its code: no reason to fail.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
        if number and isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run() -> int:
    from flytelite.cli import starting
    from flytelite.cli.failure import FAILED, NEVER_STARTED, Failure, tell

    arguments = sys.argv[1:]
    if sys.version_info[:2] not in PYTHONS:
        here = f"{sys.executable} is {sys.version_info[0]}.{sys.version_info[1]}"
        return tell(
            Failure(
                f"flytelite needs Python 3.11 or 3.12, since flytekit works with no newer one, and {here}; install it "
                "into an environment of one of these, e.g. `uv tool install --python 3.12 flytelite`",
                NEVER_STARTED if arguments[:1] == ["up"] else FAILED,
            ),
            verbose=False,
        )
    code = starting.run(arguments)
    if code is None:
        from flytelite.cli.application import run

        code = run(arguments)
    return code


if __name__ == "__main__":
    main()
