"""Requests that are almost right: messages of the table with a few fields changed, and some made of nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from flytelite import descriptors

from .values import WELL_KNOWN, scalar

MANY = 300
DEPTHS = [5, 20, 30, 60, 90, 150]
"""How deep messages are put into themselves: protobuf reads 100 levels."""


class Mutator:
    """Changes messages; parts of ``corpus`` get into other messages wherever their type fits."""

    def __init__(self, random: Random, corpus: Sequence[Message]) -> None:
        self._random = random
        self._corpus = corpus

    def mutate(self, message: Message) -> None:
        """Change one field somewhere in the message."""
        holders = list(_messages(message))
        if self._random.random() < 0.8:
            # Without its name or its most important parts a request does not get far.
            holders = [holder for holder in holders[1:] if not _names(holder)] or holders
        holder = self._random.choice(holders)
        fields = list(holder.DESCRIPTOR.fields)
        present = [field for field, _ in holder.ListFields()]
        if fields:
            self._change(holder, self._random.choice(present if present and self._random.random() < 0.6 else fields))

    def fill(self, message: Any, depth: int) -> None:
        """Set a few fields of an empty message."""
        special = WELL_KNOWN.get(message.DESCRIPTOR.full_name)
        if special is not None:
            special(self._random, message)
            return
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.5:
                self._set(message, field, depth)

    def _change(self, holder: Any, field: FieldDescriptor) -> None:
        chance = self._random.random()
        if chance < 0.25:
            holder.ClearField(field.name)
        elif chance < 0.35 and field.message_type is not None:
            self._nest(holder, field)
        elif (
            chance < 0.45
            and descriptors.is_repeated(field)
            and not descriptors.is_map(field)
            and len(getattr(holder, field.name))
        ):
            self._repeat(getattr(holder, field.name))
        else:
            self._set(holder, field, self._random.choice([0, 1, 3]))

    def _set(self, holder: Any, field: FieldDescriptor, depth: int) -> None:
        if descriptors.is_map(field):
            self._add_entry(getattr(holder, field.name), field, depth)
        elif field.message_type is None:
            value = scalar(self._random, field)
            if descriptors.is_repeated(field):
                getattr(holder, field.name).append(value)
            else:
                setattr(holder, field.name, value)
        else:
            values = getattr(holder, field.name)
            self._fill_message(values.add() if descriptors.is_repeated(field) else values, depth)

    def _add_entry(self, entries: Any, field: FieldDescriptor, depth: int) -> None:
        assert field.message_type is not None
        key = scalar(self._random, field.message_type.fields_by_name["key"])
        value = field.message_type.fields_by_name["value"]
        if value.message_type is None:
            entries[key] = scalar(self._random, value)
        else:
            self._fill_message(entries[key], depth)

    def _fill_message(self, message: Any, depth: int) -> None:
        message.SetInParent()
        alike = [part for part in self._corpus if part.DESCRIPTOR is message.DESCRIPTOR]
        if alike and self._random.random() < 0.5:
            message.CopyFrom(self._random.choice(alike))
        elif depth > 0:
            self.fill(message, depth - 1)

    def _repeat(self, values: Any) -> None:
        item = self._random.choice(values)
        times = self._random.choice([1, 1, 1, MANY])
        with suppress(DecodeError):  # what is nested too deeply cannot be copied
            values.extend([item] * times)

    def _nest(self, holder: Any, field: FieldDescriptor) -> None:
        """Put a message into a message of its own type again and again, along the shortest way there is."""
        assert field.message_type is not None
        if descriptors.is_map(field):
            return
        values = getattr(holder, field.name)
        inner = values.add() if descriptors.is_repeated(field) else values
        way = _way_back(inner.DESCRIPTOR)
        for _ in range(self._random.choice(DEPTHS) if way else 0):
            for step in way:
                inner = _below(inner, step)


def parts(messages: Sequence[Message]) -> list[Message]:
    """All messages inside of these."""
    return [part for message in messages for part in _messages(message)]


def _names(message: Message) -> bool:
    return "Identifier" in message.DESCRIPTOR.name


def _messages(message: Message) -> Iterator[Message]:
    """The message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if descriptors.is_map(field):
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in sorted(value):
                    yield from _messages(value[key])
        elif descriptors.is_repeated(field):
            for item in value:
                yield from _messages(item)
        else:
            yield from _messages(value)


_WAYS: dict[str, list[FieldDescriptor]] = {}


def _way_back(descriptor: Any) -> list[FieldDescriptor]:
    """The shortest way from a message type through fields to the same type; empty when there is none."""
    if descriptor.full_name not in _WAYS:
        _WAYS[descriptor.full_name] = _search(descriptor)
    return _WAYS[descriptor.full_name]


def _search(descriptor: Any) -> list[FieldDescriptor]:
    seen: set[str] = set()
    ways: list[tuple[Any, list[FieldDescriptor]]] = [(descriptor, [])]
    for here, way in ways:
        for field in here.fields:
            target = _target(field)
            if target is None:
                continue
            if target.full_name == descriptor.full_name:
                return [*way, field]
            if target.full_name not in seen:
                seen.add(target.full_name)
                ways.append((target, [*way, field]))
    return []


def _target(field: FieldDescriptor) -> Any:
    if descriptors.is_map(field):
        assert field.message_type is not None
        return field.message_type.fields_by_name["value"].message_type
    return field.message_type


def _below(message: Any, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if descriptors.is_map(field):
        assert field.message_type is not None
        key = field.message_type.fields_by_name["key"]
        inner = value["deep" if key.cpp_type == FieldDescriptor.CPPTYPE_STRING else 0]
    else:
        inner = value.add() if descriptors.is_repeated(field) else value
    inner.SetInParent()
    return inner


def _is_list(field: FieldDescriptor) -> bool:
    return descriptors.is_repeated(field) and not descriptors.is_map(field)
