"""Tasks with decks: one that shows its deck while it runs, one that fails, one that has none."""

from __future__ import annotations

import time
from pathlib import Path

from flytekit import Deck, task, workflow


@task(enable_deck=True)
def showing(signal: str, fails: bool) -> int:
    Deck("Mine", "so far: half")
    Deck.publish()
    while not Path(signal).exists():
        time.sleep(0.02)
    Deck("Mine", "at last: all")
    if fails:
        raise ValueError("after all")
    return 1


@task(enable_deck=False)
def silent() -> int:
    Deck("Mine", "unseen")
    return 2


@workflow
def live(signal: str, fails: bool) -> int:
    return showing(signal=signal, fails=fails)


@workflow
def without() -> int:
    return silent()
