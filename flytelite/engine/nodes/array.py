"""An array node: one task run for each element of its list inputs.

Rules: ``flytepropeller/pkg/controller/nodes/array/handler.go``. Elements never become node executions; they are
external resources of the node's one task execution.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import partial

from flyteidl.core import execution_pb2, interface_pb2, literals_pb2, tasks_pb2, workflow_pb2

from flytelite.engine import offloading
from flytelite.engine.events import TaskPhase
from flytelite.engine.failures import SYSTEM, UNKNOWN, USER, NodeFailed, execution_error, failed
from flytelite.engine.nodes.array_report import ArrayReport
from flytelite.engine.nodes.element import Element
from flytelite.engine.nodes.node import Finished, NodeRun, whole_inputs
from flytelite.engine.places import Places, gives_its_place_away
from flytelite.engine.waiting import end_all, persistently

NONE = literals_pb2.Literal(scalar=literals_pb2.Scalar(none_type=literals_pb2.Void()))


async def run(node: NodeRun) -> Finished:
    """Run all elements. Raises NodeFailed as soon as too few of them can succeed."""
    array = node.array
    if array.node.WhichOneof("target") != "task_node":
        raise failed(SYSTEM, "BadSpecificationError", "flytelite runs array nodes over tasks only")
    template = node.level.library.task(array.node.task_node.reference_id)
    inputs = await whole_inputs(node)
    size = size_of(array, inputs)
    report = ArrayReport(node, template)
    own = partial(inputs_of, array, inputs)
    elements = [Element(node, template, index, report, own) for index in range(size)]
    if array.WhichOneof("parallelism_option") is None:
        node.note["shares"] = True
    report.begin(elements)
    try:
        await _run_elements(node, elements, report)
    except asyncio.CancelledError:
        if not node.run.stopping:
            report.end(TaskPhase.ABORTED)
        raise
    if size - _count(elements, TaskPhase.FAILED) < minimum(array, size):
        error = execution_error(UNKNOWN, "", summary({one.index: one.error for one in elements if one.error}))
        report.end(TaskPhase.FAILED, error=error)
        raise NodeFailed(error)
    outputs = await _offloaded(node, template, outputs_of(template.interface, [one.outputs for one in elements]))
    await node.write(node.outputs_file, outputs)
    report.end(TaskPhase.SUCCEEDED, output_uri=str(node.outputs_file))
    return Finished(outputs, node.outputs_file)


async def _offloaded(
    node: NodeRun, template: tasks_pb2.TaskTemplate, outputs: literals_pb2.LiteralMap
) -> literals_pb2.LiteralMap:
    settings = node.services.settings
    try:
        return await offloading.offloaded(outputs, template.interface.outputs, node.output_directory, settings)
    except offloading.TooLargeToOffload as error:
        raise failed(UNKNOWN, "OutputSizeExceeded", str(error)) from error


async def _run_elements(node: NodeRun, elements: Sequence[Element], report: ArrayReport) -> None:
    """Return when all have ended, or when those that failed are too many; then the others are ended."""
    array = node.array
    allowed = len(elements) - minimum(array, len(elements))
    places = None
    if array.parallelism:
        places = Places(array.parallelism, [one.key for one in elements if one.is_running])
    elif gives_its_place_away(node.note):
        node.slot.release()  # without a number of its own an array shares the workflow's places
        places = node.run.places
    tasks = [asyncio.create_task(one.run(places), name=f"element {one.index}") for one in elements]
    over = asyncio.Event()
    left, bad = len(tasks), 0

    def look(element: Element, task: asyncio.Task[None]) -> None:
        nonlocal left, bad
        left -= 1
        bad += element.phase == TaskPhase.FAILED
        if left == 0 or bad > allowed or task.cancelled() or task.exception() is not None:
            over.set()

    for element, task in zip(elements, tasks, strict=True):
        task.add_done_callback(partial(look, element))
    try:
        if tasks:
            await over.wait()
            report.tell()
    finally:
        report.ending()
        await end_all(tasks)
        await persistently(asyncio.gather(*(one.end_left_over() for one in elements if one.is_left_over)))
    for task in tasks:
        if not task.cancelled():
            task.result()


def _count(elements: Sequence[Element], phase: int) -> int:
    return sum(one.phase == phase for one in elements)


def size_of(array: workflow_pb2.ArrayNode, inputs: literals_pb2.LiteralMap) -> int:
    """The common length of the list inputs that are not bound. Raises NodeFailed with code InvalidArrayLength."""
    size = -1
    for name in sorted(inputs.literals):
        literal = inputs.literals[name]
        if name in array.bound_inputs or literal.WhichOneof("value") != "collection":
            continue
        length = len(literal.collection.literals)
        if size not in (-1, length):
            message = f"input arrays have different lengths: expecting '{size}' found '{length}'"
            raise failed(USER, "InvalidArrayLength", message)
        size = length
    if size >= 0:
        return size
    if len(array.bound_inputs) == len(inputs.literals):
        return 1
    raise failed(USER, "InvalidArrayLength", "no input array provided")


def minimum(array: workflow_pb2.ArrayNode, size: int) -> int:
    """How many elements must succeed; all of them when nothing is said.

    A ratio counts as the decimal that was written, 3 of 5 for 0.6; FlytePropeller takes the 32 bit float nearest to it,
    which is a little more, and asks for 4.
    """
    criterion = array.WhichOneof("success_criteria")
    if criterion == "min_successes":
        return int(array.min_successes)
    if criterion == "min_success_ratio":
        return math.ceil(round(round(float(array.min_success_ratio), 6) * size, 6))
    return size


def inputs_of(array: workflow_pb2.ArrayNode, inputs: literals_pb2.LiteralMap, index: int) -> literals_pb2.LiteralMap:
    """The inputs of one element: its item of every list that is not bound."""
    own = literals_pb2.LiteralMap()
    for name, literal in inputs.literals.items():
        split = literal.WhichOneof("value") == "collection" and name not in array.bound_inputs
        own.literals[name].CopyFrom(literal.collection.literals[index] if split else literal)
    return own


def outputs_of(
    interface: interface_pb2.TypedInterface, outputs: Sequence[literals_pb2.LiteralMap | None]
) -> literals_pb2.LiteralMap:
    """One list per output, in the order of the elements; None where an element did not succeed."""
    gathered = literals_pb2.LiteralMap()
    for name in interface.outputs.variables:
        collection = literals_pb2.LiteralCollection()
        for own in outputs:
            found = own is not None and name in own.literals
            collection.literals.append(own.literals[name] if own is not None and found else NONE)
        gathered.literals[name].collection.CopyFrom(collection)
    return gathered


def summary(errors: Mapping[int, execution_pb2.ExecutionError]) -> str:
    """The messages of failed elements, equal ones together: ``[0][2-4]: message``, one line each, sorted.

    ``flyteplugins/go/tasks/plugins/array/errorcollector/collector.go``.
    """
    indexes: dict[str, list[int]] = {}
    for index, error in sorted(errors.items()):
        indexes.setdefault(error.message, []).append(index)
    return "".join(f"{_ranges(indexes[message])}: {message}\n" for message in sorted(indexes))


def _ranges(indexes: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return "".join(f"[{first}]" if first == last else f"[{first}-{last}]" for first, last in ranges)
