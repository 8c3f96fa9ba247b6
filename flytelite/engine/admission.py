"""Which attempts may run now: what they ask for against what the machine has.

Who asks for nothing runs at once. Others wait in the order in which they came; one may go ahead of another only when
they want nothing in common, so a large request is never starved by small ones. More than the machine has is cut to
what it has: such an attempt waits until it is alone, and runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from flytelite.engine.resources import CPU, GPU, MEMORY, EffectiveResources
from flytelite.quantities import parse_or_zero

_NONE = Fraction(0)
_GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Machine:
    """What there is to give away: cores, bytes, devices."""

    cpu: Fraction
    memory: Fraction
    gpu: int = 0

    def overridden(self, capacity: tuple[str, ...]) -> Machine:
        """With what the settings say instead (``cpu=4``)."""
        said = {name: parse_or_zero(text) for name, _, text in (item.partition("=") for item in capacity)}
        return Machine(said.get(CPU, self.cpu), said.get(MEMORY, self.memory), int(said.get(GPU, Fraction(self.gpu))))


@dataclass(frozen=True)
class Demand:
    """What one attempt takes while it runs. ``remark`` says how it differs from what was asked for."""

    cpu: Fraction = _NONE
    memory: Fraction = _NONE
    gpu: int = 0
    remark: str = ""

    @property
    def wanted(self) -> frozenset[str]:
        """The resources of which any is wanted."""
        return frozenset(name for name in (CPU, MEMORY, GPU) if getattr(self, name))

    def text(self) -> str:
        """For people."""
        parts = [f"{float(self.cpu):g} cpu"] if self.cpu else []
        parts += [f"{_gibibytes(self.memory)} GiB of memory"] if self.memory else []
        parts += [f"{self.gpu} gpu"] if self.gpu else []
        return " and ".join(parts)


@dataclass
class Ticket:
    """The right to run. ``gpus`` are the indexes of the devices that are the attempt's own."""

    demand: Demand
    gpus: tuple[int, ...] = ()


class Admission:
    """Hands out what the machine has."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._cpu = machine.cpu
        self._memory = machine.memory
        self._gpus = set(range(machine.gpu))
        self._waiting: list[tuple[Demand, asyncio.Future[Ticket]]] = []

    def demand(self, asked: EffectiveResources) -> Demand:
        """What a request comes to on this machine."""
        machine = self.machine
        cpu, memory, gpu = asked.cpu.request, asked.memory.request, int(asked.gpu.request)
        excess = []
        if cpu > machine.cpu:
            excess.append(f"{float(cpu):g} cpu of {float(machine.cpu):g}")
        if memory > machine.memory:
            excess.append(f"{_gibibytes(memory)} GiB of memory of {_gibibytes(machine.memory)}")
        if gpu > machine.gpu:
            excess.append(f"{gpu} gpu of {machine.gpu}")
        remark = f"the task asks for more than this machine has: {', '.join(excess)}" if excess else ""
        return Demand(min(cpu, machine.cpu), min(memory, machine.memory), min(gpu, machine.gpu), remark)

    def enter(self, demand: Demand) -> Ticket | None:
        """Take what is wanted, if it is free and nobody waits for any of it."""
        wanted = {name for other, _ in self._waiting for name in other.wanted}
        return self._take(demand) if self._fits(demand) and not demand.wanted & wanted else None

    def insist(self, demand: Demand) -> Ticket:
        """Take it in any case: the attempt runs already."""
        return self._take(demand)

    async def wait(self, demand: Demand) -> Ticket:
        """Take what is wanted once it is this attempt's turn."""
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting.append((demand, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave(future.result())
            else:
                self._waiting = [one for one in self._waiting if one[1] is not future]
                self._admit()
            raise

    def leave(self, ticket: Ticket) -> None:
        """Give everything back, and let others run."""
        self._cpu += ticket.demand.cpu
        self._memory += ticket.demand.memory
        self._gpus.update(ticket.gpus)
        self._admit()

    @contextmanager
    def holding(self, ticket: Ticket) -> Iterator[Ticket]:
        """Give everything back at the end of the block."""
        try:
            yield ticket
        finally:
            self.leave(ticket)

    def shortage(self, demand: Demand) -> str:
        """Why the attempt waits, for people."""
        free = Demand(max(self._cpu, _NONE), max(self._memory, _NONE), len(self._gpus)).text() or "nothing"
        return f"waiting for {demand.text()}: {free} is free, and {len(self._waiting)} others wait"

    def _fits(self, demand: Demand) -> bool:
        return (
            (not demand.cpu or demand.cpu <= self._cpu)
            and (not demand.memory or demand.memory <= self._memory)
            and demand.gpu <= len(self._gpus)
        )

    def _take(self, demand: Demand) -> Ticket:
        self._cpu -= demand.cpu
        self._memory -= demand.memory
        gpus = tuple(sorted(self._gpus)[: demand.gpu])
        self._gpus.difference_update(gpus)
        return Ticket(demand, gpus)

    def _admit(self) -> None:
        """Let in whoever can be, in the order in which they came."""
        still: list[tuple[Demand, asyncio.Future[Ticket]]] = []
        wanted: set[str] = set()
        for demand, future in self._waiting:
            if self._fits(demand) and not demand.wanted & wanted:
                if not future.done():
                    future.set_result(self._take(demand))
            else:
                still.append((demand, future))
                wanted |= demand.wanted
        self._waiting = still


def _gibibytes(size: Fraction) -> str:
    return f"{float(size / _GIBIBYTE):.3g}"
