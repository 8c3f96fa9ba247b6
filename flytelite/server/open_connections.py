"""Connections that live."""

from __future__ import annotations

import asyncio
from typing import Any


class OpenConnections(set[Any]):
    """Connections that live; tells when the last one is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._emptied: asyncio.Event | None = None

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        if self._emptied is not None and not self:
            self._emptied.set()

    async def gone(self, seconds: float) -> bool:
        """Whether all connections ended within that time."""
        self._emptied = asyncio.Event()
        if self:
            try:
                await asyncio.wait_for(self._emptied.wait(), seconds)
            except TimeoutError:
                return False
        return True
