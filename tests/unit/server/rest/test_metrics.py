from __future__ import annotations

from flytelite.server.dispatch import Dispatcher
from flytelite.server.rest.metrics import metrics_text
from flytelite.server.store.memory import MemoryStore


def test_what_came_of_schedules_is_counted():
    text = metrics_text(Dispatcher({}, MemoryStore()), {"created": 3, "refused": 1})
    assert 'flytelite_scheduled_executions_total{outcome="created"} 3\n' in text
    assert 'flytelite_scheduled_executions_total{outcome="refused"} 1\n' in text
