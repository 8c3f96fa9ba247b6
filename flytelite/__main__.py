"""``flytelite`` and ``python -m flytelite``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from flytelite.cli import starting

    code = starting.run(sys.argv[1:])
    if code is None:
        from flytelite.cli.application import run

        code = run(sys.argv[1:])
    sys.exit(code)


if __name__ == "__main__":
    main()
