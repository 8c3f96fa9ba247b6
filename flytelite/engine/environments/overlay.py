"""Packages of one attempt (ImageSpec's ``runtime_packages``), beside its environment, which is not touched.

flytekit's entrypoint would install them into the environment with pip (``flytekit/bin/entrypoint.py``), for all tasks.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flytelite.engine.environments.building import BuildFailed, Tool, installer, last_lines
from flytelite.engine.environments.choice import Environment

RUNTIME_PACKAGES = "_F_RUNTIME_PACKAGES"


def install(environment: Environment, env: Mapping[str, str], target: Path, log: Path) -> dict[str, str]:
    """Install what the variables ask for into ``target`` and return the variables that put it first. Blocks.

    What the environment has stays as it is, so that the packages fit to it; only what is asked for by name may differ.
    Raises BuildFailed.
    """
    packages = env[RUNTIME_PACKAGES].split()
    tool = Tool(detached=True)
    target.mkdir(parents=True, exist_ok=True)
    constraints = target / ".constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in _installed(environment.python, tool, packages)))
    command = [*installer(tool, environment.python), "--target", str(target), "--constraint", str(constraints)]
    with log.open("ab") as output:
        installed = tool.run([*command, *packages], output)
    if not installed:
        raise BuildFailed(
            f"the runtime packages {', '.join(packages)} of the image {environment.image} cannot be installed:"
            f"\n{last_lines(log)}"
        )
    found = {name: value for name, value in env.items() if name != RUNTIME_PACKAGES}
    found["PYTHONPATH"] = os.pathsep.join(path for path in (str(target), found.get("PYTHONPATH", "")) if path)
    found["PATH"] = os.pathsep.join([str(target / "bin"), found.get("PATH", "")])
    return found


def _installed(python: Path, tool: Tool, packages: list[str]) -> list[str]:
    """The versions of the environment's packages, but for those that are asked for."""
    command = [tool.uv, "pip", "freeze", "--python", str(python)] if tool.uv else [str(python), "-m", "pip", "freeze"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    asked = {_name(package) for package in packages}
    return [line for line in done.stdout.splitlines() if "==" in line and _name(line) not in asked]


def _name(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
