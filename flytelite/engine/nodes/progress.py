"""What a job outside of this machine has told so far, so that each thing is told on once."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from typing import Any

from flyteidl.core import execution_pb2
from google.protobuf import struct_pb2

from flytelite.engine.events import TASK_TERMINAL, TaskPhase

_ENDS = TASK_TERMINAL | {TaskPhase.RETRYABLE_FAILED}


class Progress:
    """The last state of a job; what of it has been told is kept in ``note``, over restarts of the engine."""

    def __init__(self, note: MutableMapping[str, Any]) -> None:
        self._note = note
        self.logs: Sequence[execution_pb2.TaskLog] = ()
        self.custom_info: struct_pb2.Struct | None = None

    def remember(self, phase: int, version: int, digest: str = "") -> None:
        """That the phase has been told in that version."""
        self._note["progress"] = {"phase": int(phase), "version": version, "digest": digest}

    def next_version(
        self, phase: int, reason: str, logs: Sequence[execution_pb2.TaskLog], custom_info: struct_pb2.Struct
    ) -> int | None:
        """Take the state of the job; the version of the event that tells of it, None when there is nothing to tell.

        A phase that was told already is told again, in the next version, when anything else is new.
        """
        self.logs, self.custom_info = tuple(logs), custom_info if custom_info.fields else None
        told = self._note.get("progress", {})
        digest = _digest(reason, logs, custom_info)
        same = told.get("phase") == int(phase)
        if phase in _ENDS or phase == TaskPhase.UNDEFINED or (same and told.get("digest") == digest):
            return None
        version = int(told["version"]) + 1 if same else 0
        self.remember(phase, version, digest)
        return version


def _digest(reason: str, logs: Sequence[execution_pb2.TaskLog], custom_info: struct_pb2.Struct) -> str:
    """Tells one state from another; empty for one that says nothing."""
    parts = [reason.encode(), *(log.SerializeToString(deterministic=True) for log in logs)]
    parts.append(custom_info.SerializeToString(deterministic=True))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16] if any(parts) else ""
