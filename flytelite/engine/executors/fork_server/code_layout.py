"""The code that tasks run, in memory that is close together.

The interpreter counts in the code itself how often an instruction ran that it has not specialised (PEP 659), so a task
writes to most of the code that it runs. Code is where memory was free when its module was imported: some five hundred
functions in four hundred pages, each of which a forked process copies. Copies of their code, made one after the other,
take a quarter of that.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

Codes = dict[int, CodeType]
"""By what ``id`` says: to compare code with code takes long."""


def executed(play: Callable[[], object]) -> Codes:
    """The code that runs meanwhile, also in threads that begin meanwhile."""
    found: Codes = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found[id(frame.f_code)] = frame.f_code

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        play()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def move_together(codes: Codes) -> None:
    """Have functions run copies of that code; whoever calls keeps ``codes``, whose memory would be used again.

    What runs at the time goes on with the code it has.
    """
    gc.collect()  # only what is left of the play: the rest is frozen, and has to be thawed to be listed
    gc.unfreeze()
    functions = [one for one in gc.get_objects() if type(one) is FunctionType and id(one.__code__) in codes]
    gc.freeze()
    copies: Codes = {}
    cached = [code.co_code for code in codes.values()]  # which its copying would make, between the copies
    # The largest first: what copying takes for a while is used again for the next one.
    for function in sorted(functions, key=lambda one: sys.getsizeof(one.__code__), reverse=True):
        code = function.__code__
        if id(code) not in copies:
            copies[id(code)] = _copy(code, codes)
        function.__code__ = copies[id(code)]
    del cached


def _copy(code: CodeType, codes: Codes) -> CodeType:
    inner = (_copy(one, codes) if isinstance(one, CodeType) and id(one) in codes else one for one in code.co_consts)
    return code.replace(co_consts=tuple(inner))
