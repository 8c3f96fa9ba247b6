"""What hypothesis draws: how many entities of which names there are, and what happens to them when."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "ab", "b", "b-1", "c", "k_c", "B.x", "é", "a%b"])
RUN_NAMES = st.sampled_from(["a", "ab", "b", "b-1", "c", "cab", "d", "dd"])
VERSIONS = st.sampled_from(["v1", "v2", "1", "V1"])
TEXTS = st.sampled_from(["", "x", "some text", "Some_Text"])
STEPS = st.sampled_from([0, 0, 1, 500_000_000, 1_000_000_000, 60_000_000_000])
"""Nanoseconds; many things happen at the same time."""

SCHEDULES = {
    "NONE": {},
    "CRON": {"cron_schedule": {"schedule": "0 0 * * *"}},
    "RATE": {"rate": {"value": 1, "unit": "HOUR"}},
}
ERROR_KINDS = st.sampled_from(["UNKNOWN", "USER", "SYSTEM"])
ERROR_CODES = st.sampled_from(["Boom", "boom", "x"])
STEP = st.fixed_dictionaries(
    {"phase": st.sampled_from(["QUEUED", "RUNNING", "SUCCEEDED", "FAILED"]), "kind": ERROR_KINDS, "code": ERROR_CODES}
)
RUNNING = {"phase": "RUNNING"}
HISTORY = st.lists(STEP, max_size=3)

DRAFTS = st.fixed_dictionaries(
    {
        "projects": st.dictionaries(
            st.sampled_from(["p1", "p2", "other"]), st.tuples(TEXTS, TEXTS, st.integers(0, 3)), max_size=3
        ),
        "tasks": st.dictionaries(st.tuples(NAMES, VERSIONS), st.tuples(TEXTS, TEXTS), min_size=1, max_size=5),
        "entities": st.lists(st.tuples(st.integers(0, 4), TEXTS, st.integers(0, 1)), max_size=3),
        "workflows": st.dictionaries(st.tuples(NAMES, VERSIONS), TEXTS, min_size=1, max_size=4),
        "plans": st.dictionaries(
            st.tuples(NAMES, VERSIONS),
            st.tuples(st.integers(0, 3), st.sampled_from(sorted(SCHEDULES)), st.booleans()),
            min_size=1,
            max_size=4,
        ),
        "executions": st.dictionaries(
            RUN_NAMES,
            st.fixed_dictionaries(
                {
                    "runs": st.integers(-2, 3),
                    "mode": st.integers(0, 2),
                    "labels": st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"]), max_size=2),
                    "tags": st.lists(st.sampled_from(["t", "k"]), max_size=2, unique=True),
                    "history": HISTORY,
                    "end": st.sampled_from(["", "archive", "terminate"]),
                }
            ),
            min_size=1,
            max_size=6,
        ),
        "nodes": st.dictionaries(st.sampled_from(["n0", "n1", "n2", "end"]), HISTORY, max_size=4),
        "attempts": st.dictionaries(
            st.tuples(st.integers(0, 4), st.integers(0, 2)), st.tuples(HISTORY, st.integers(0, 2)), max_size=4
        ),
        "signals": st.lists(NAMES, max_size=4, unique=True),
        "steps": st.lists(STEPS, min_size=1, max_size=8),
    }
)
