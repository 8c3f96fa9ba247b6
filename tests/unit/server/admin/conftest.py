"""A control plane's registry over a store in memory, and a clock that moves one second with each look at it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.description_entities import DescriptionEntities
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.projects import Projects
from flytelite.server.store.memory import MemoryStore

START = 1_700_000_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def clock() -> Callable[[], timestamp_pb2.Timestamp]:
    seconds = count(START)
    return lambda: timestamp_pb2.Timestamp(seconds=next(seconds))


@pytest.fixture
def projects(store, settings, clock) -> Projects:
    return Projects(store, settings, clock)


@pytest.fixture
def attributes(store, projects, settings, clock) -> Attributes:
    return Attributes(store, projects, settings, clock)


@pytest.fixture
def named_entities(store, clock) -> NamedEntities:
    return NamedEntities(store, clock)


@pytest.fixture
def descriptions(store, clock) -> DescriptionEntities:
    return DescriptionEntities(store, clock)
