"""What to do when a task misses a module or a file: where it ran, what its code has, and what changes that."""

from __future__ import annotations

import os
import re
from pathlib import Path

from flytelite.config import FILE_NAME
from flytelite.engine.environments.choice import Environment

_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^']{1,255})'")
_NO_FILE = re.compile(r"^ *FileNotFoundError: \[Errno 2\] No such file or directory: '([^']{1,1000})'$", re.M)
_WHAT_TRAVELS = (
    "Of a FILE, `flytelite run` and `register` send the modules that its import statements name, `pyflyte run --remote`"
    " those that it has imported. `flytelite run --copy-all`, `flytelite register DIRECTORY` and `pyflyte run --copy"
    " all` send all files of the source root."
)
_WITHOUT_CODE = (
    "The task was registered without its code, which Flyte then expects in the task's image: so do FlyteRemote's"
    " execute (of a task, workflow or launch plan that is not registered), register_task, register_workflow and"
    " register_launch_plan, and `pyflyte register --copy none`. FlyteRemote.fast_register_workflow and"
    " register_script, `pyflyte register` and `flytelite register` send it; they need a new version."
)
PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "jwt": "pyjwt",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Where the package is not named like the module that people import."""


def advice(message: str, environment: Environment, code: Path, sent: bool = True) -> str:
    """For an error that says that a module or a file of the task's ``code`` is missing; empty for any other.

    ``sent`` is whether the task was registered with its code: else the directory ``code`` had nothing in it.
    """
    found = _MISSING.search(message)
    if found is None:
        return _on_file(message, code, sent)
    module, _, below = found[1].partition(".")
    # os.path's look-ups say no to a name that no disk can hold, where Path's raise.
    if below and (os.path.isdir(code / module) or os.path.isfile(code / f"{module}.py")):  # noqa: PTH112, PTH113
        return f"The registered code has {module!r}, but no {found[1]!r}. {_WHAT_TRAVELS}"
    own = "If it is a module of your own, register the directory that has it, or `flytelite run --copy-all`."
    lines = [
        f"The image {environment.image or '*'} ran in {environment.python} ({environment.source}), which has no module"
        f" {module!r}.",
        *([] if sent else [f"If it is a module of your own: {_WITHOUT_CODE}"]),
        *environment.notes,
        *_change(environment, PACKAGES.get(module, module)),
        *([own] if sent else []),
    ]
    return "\n".join(lines)


def _change(environment: Environment, package: str) -> list[str]:
    """What gives the task's environment the package."""
    if environment.of_spec:
        # No rule of flytelite.yaml: it would stand for the whole image and lose the packages that the spec has.
        return [f'If it is a package, add "{package}" to the packages of the ImageSpec, and register again.']
    spec = f'or give the task an image: ImageSpec(packages=["{package}"]).'
    image, rule = environment.image or "*", environment.rule
    pattern, requirements = (rule.pattern, rule.requirements) if rule is not None else (image, ())
    if isinstance(requirements, str):
        return [f"If it is a package, add {package} to {requirements}, and start `flytelite up` again;", spec]
    return [
        f"If it is a package, install it there, or give the image an environment in {FILE_NAME} where"
        " `flytelite up` is started (and start it again):",
        "",
        "images:",
        f'  "{pattern}":',
        f"    requirements: [{', '.join([*requirements, package])}]        # or venv: PATH, or python: PATH",
        "",
        spec,
    ]


def _on_file(message: str, code: Path, sent: bool) -> str:
    """For a file that is looked for beside the modules, or in the working directory, which is the same place."""
    found = _NO_FILE.search(message)
    # Others say it in words of their own, like papermill's plugin of a notebook.
    name = found[1] if found is not None else _named(message.rpartition("Message:")[2], code)
    if not name:
        return ""
    file = Path(code, name)
    if not file.is_relative_to(code) or os.path.exists(file):  # noqa: PTH110
        return ""
    if not sent:
        return f"{file.relative_to(code)} is not in the task's working directory. {_WITHOUT_CODE}"
    return (
        f"{file.relative_to(code)} is not in the registered code, a copy of which is the task's working directory. "
        f"If it lies beside your modules: {_WHAT_TRAVELS[0].lower()}{_WHAT_TRAVELS[1:]}"
    )


def _named(message: str, code: Path) -> str:
    """The first file below ``code`` that a message names; empty for none."""
    found = re.search(rf"{re.escape(str(code))}/([^\s'\":,;]{{1,1000}})", message)
    return found[1] if found is not None else ""
