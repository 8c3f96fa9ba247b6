"""The setting `connectors`: addresses, mappings, and what is wrong with others."""

from __future__ import annotations

import pytest

from flytelite import config
from flytelite.connector_settings import ConnectorSettings, parse
from flytelite.errors import InvalidArgument


def test_addresses_and_mappings():
    assert parse("localhost:8000, dns:///other:9") == (
        ConnectorSettings("localhost:8000"),
        ConnectorSettings("other:9"),
    )
    (found,) = parse([{"endpoint": "x:1", "task_types": ["a"], "timeout": 3, "timeouts": {"GetTask": 0}}])
    assert found.task_types == ("a",)
    assert found.seconds("CreateTask") == 3
    assert found.seconds("GetTask") is None


@pytest.mark.parametrize(
    "value",
    [
        7,
        ["nowhere"],
        [7],
        [{"endpoint": "x:1", "colour": "red"}],
        [{"endpoint": "x:1", "timeout": -1}],
        [{"endpoint": "x:1", "timeouts": {"Fetch": 1}}],
        [{"endpoint": "x:1", "task_types": "a"}],
        [{"endpoint": "x:1", "insecure": "yes"}],
    ],
)
def test_what_is_no_service_is_told(tmp_path, value):
    import yaml

    (tmp_path / "flytelite.yaml").write_text(yaml.safe_dump({"connectors": value}))
    with pytest.raises(InvalidArgument, match="setting connectors from"):
        config.load({}, {}, tmp_path)
