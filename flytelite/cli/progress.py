"""Showing an execution while it runs: a live tree on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable
from typing import Any, Protocol, Self

from flytelite.cli.nodes import NodeView

STYLES = {
    "SUCCEEDED": ("✓", "green"),
    "RECOVERED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "FAILING": ("✗", "red"),
    "TIMED_OUT": ("✗", "red"),
    "ABORTED": ("■", "yellow"),
    "RUNNING": ("●", "cyan"),
    "DYNAMIC_RUNNING": ("●", "cyan"),
    "SKIPPED": ("-", "dim"),
}


class Progress(Protocol):
    """Something that shows the nodes of one execution; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def show(self, nodes: tuple[NodeView, ...]) -> None:
        """Show the nodes as they are now."""


def make_progress(title: str) -> Progress:
    """The kind that suits stdout."""
    return LiveTree(title) if sys.stdout.isatty() else Lines(title)


class Lines:
    """Prints a line whenever a node enters another phase or attempt, and what is new to be known of it."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._remarks: dict[str, str] = {}

    def __enter__(self) -> Self:
        print(self._title, flush=True)
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def show(self, nodes: tuple[NodeView, ...]) -> None:
        """Print what changed."""
        for depth, node in _walk(nodes):
            state = (node.phase, node.attempts.count, node.attempts.items)
            if self._shown.get(node.key) != state:
                self._shown[node.key] = state
                print(f"  {'  ' * depth}{line(node)}", flush=True)
                if node.waits_for is not None and node.waits_for.command:
                    print(f"  {'  ' * depth}{'':<6} answer it: {node.waits_for.command}", flush=True)
            if node.remark and self._remarks.get(node.key) != node.remark:
                self._remarks[node.key] = node.remark
                print(f"  {'  ' * depth}{'':<6} {node.remark}", flush=True)


class LiveTree:
    """A tree that is redrawn in place; running nodes count their seconds."""

    def __init__(self, title: str) -> None:
        from rich.live import Live

        self._title = title
        self._nodes: tuple[NodeView, ...] = ()
        self._live = Live(self, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._live.__exit__(*exception)

    def show(self, nodes: tuple[NodeView, ...]) -> None:
        """Draw the nodes."""
        self._nodes = nodes
        self._live.refresh()

    def __rich__(self) -> Any:
        from rich.tree import Tree

        tree = Tree(self._title, guide_style="dim")
        for node in self._nodes:
            _add(tree, node)
        return tree


def line(node: NodeView) -> str:
    """One node in one line: id, task or gate, phase, duration, attempts."""
    return " ".join([f"{node.id:<6}", f"{node.what or '-':<32}", node.phase_name, *_measures(node)])


def seconds(duration: datetime.timedelta) -> str:
    """``0.42s``, ``1m05s``, ``2h03m``."""
    total = duration.total_seconds()
    if total < 60:
        return f"{total:.2f}s"
    minutes, rest = divmod(int(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _measures(node: NodeView) -> Iterable[str]:
    if node.elapsed is not None:
        yield seconds(node.elapsed)
    if node.attempts.items is not None:
        yield "{}/{} items".format(*node.attempts.items)
    if node.attempts.count > 1:
        yield f"attempt {node.attempts.count}"


def _add(tree: Any, node: NodeView) -> None:
    from rich.text import Text

    symbol, style = STYLES.get(node.phase_name, ("○", "dim"))
    label = Text.assemble((f"{symbol} ", style), (f"{node.id} ", "bold"), f"{node.what} ")
    label.append(" ".join([node.phase_name.lower(), *_measures(node)]), style)
    branch = tree.add(label)
    if node.waits_for is not None and node.waits_for.command:
        branch.add(Text(f"answer it: {node.waits_for.command}", "dim"))
    if node.remark:
        branch.add(Text(node.remark, "dim"))
    for child in node.children:
        _add(branch, child)


def _walk(nodes: tuple[NodeView, ...]) -> Iterable[tuple[int, NodeView]]:
    for node in nodes:
        yield from node.walk()
