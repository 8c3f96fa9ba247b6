"""What to do when a task misses a module: which image it was, where it ran, and the lines that change that."""

from __future__ import annotations

import re

from flytelite.config import FILE_NAME
from flytelite.engine.environments.choice import Environment

_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
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


def advice(message: str, environment: Environment) -> str:
    """For an error that says that a module is missing; empty for any other."""
    found = _MISSING.search(message)
    if found is None:
        return ""
    module = found[1].partition(".")[0]
    package = PACKAGES.get(module, module)
    image = environment.image or "*"
    rule = environment.rule
    pattern, requirements = (rule.pattern, rule.requirements) if rule is not None else (image, ())
    if isinstance(requirements, str):
        change = [f"If it is a package, add {package} to {requirements}, and start `flytelite up` again;"]
    else:
        change = [
            f"If it is a package, install it there, or give the image an environment in {FILE_NAME} where"
            " `flytelite up` is started (and start it again):",
            "",
            "images:",
            f'  "{pattern}":',
            f"    requirements: [{', '.join([*requirements, package])}]        # or venv: PATH, or python: PATH",
            "",
        ]
    lines = [
        f"The image {image} ran in {environment.python} ({environment.source}), which has no module {module!r}.",
        *environment.notes,
        *change,
        f'or give the task an image: ImageSpec(packages=["{package}"]).'
        " If it is a module of your own, register the directory that has it.",
    ]
    return "\n".join(lines)
