"""A task that uses a library which takes long to import."""

import sys

PRELOADED = "pandas.core.frame" in sys.modules

import numpy  # noqa: E402
import pandas  # noqa: E402
from flytekit import task  # noqa: E402


@task
def frame(text: str) -> str:
    square = numpy.ones((300, 300)) @ numpy.ones((300, 300))
    total = pandas.DataFrame({"a": [1, 2]})["a"].sum()
    return f"{PRELOADED} {int(square[0, 0])} {total} {numpy.random.random()}"
