"""``flytelite`` and ``python -m flytelite``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = _run()
    except KeyboardInterrupt:  # while the commands were still being imported
        code = INTERRUPTED
    sys.exit(code)


def _run() -> int:
    from flytelite.cli import starting

    code = starting.run(sys.argv[1:])
    if code is None:
        from flytelite.cli.application import run

        code = run(sys.argv[1:])
    return code


if __name__ == "__main__":
    main()
