"""All rows."""

from __future__ import annotations

from . import (
    attributes,
    authentication,
    catalog,
    data_proxy,
    events,
    executions,
    launch_plans,
    names,
    node_executions,
    projects,
    repetitions,
    signals,
    task_executions,
    tasks,
    workflows,
)

PARTS = (
    projects,
    attributes,
    tasks,
    workflows,
    launch_plans,
    names,
    executions,
    repetitions,
    node_executions,
    task_executions,
    events,
    signals,
    data_proxy,
    catalog,
    authentication,
)
ROWS = [row for part in PARTS for row in part.rows()]
