"""Functions of tests in processes of their own.

A process that has used gRPC must not fork, and pytest's own may have: what forks, or dies, runs here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]


def in_fresh_process(function: Callable[..., None], *arguments: object) -> int:
    """Run the function of a module with the arguments, and answer the exit code of its process."""
    command = [sys.executable, "-m", __name__]
    return subprocess.run(command, cwd=ROOT, input=pickle.dumps((function, arguments)), check=False).returncode


if __name__ == "__main__":
    function, arguments = pickle.loads(sys.stdin.buffer.read())
    function(*arguments)
