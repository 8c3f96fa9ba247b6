"""The tasks that need pandas, in a module of their own so that only their processes import it."""

from __future__ import annotations

import pandas as pd
from flytekit import task


@task
def tabulate(values: list[float], counts: dict[str, int]) -> pd.DataFrame:
    frame = pd.DataFrame({"value": values, "step": range(len(values))})
    frame["inside"] = frame["step"] < counts["inside"]
    return frame


@task
def total(frame: pd.DataFrame) -> float:
    return float(frame["value"].sum())
