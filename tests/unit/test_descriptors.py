from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

COMPILER = Path(__file__).parent / "compiler"


def test_the_compiler_works_with_the_protobuf_that_connectors_bring(tmp_path: Path) -> None:
    """``flytekit[connector]`` keeps protobuf below 6, which asks fields another way than protobuf 7."""
    where = ["--python", sys.executable, "--target", str(tmp_path)]
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", *where, "protobuf<6"], check=True)
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            COMPILER / "test_digests.py",
            COMPILER / "test_text.py",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
