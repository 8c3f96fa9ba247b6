from __future__ import annotations

import pytest

from flytelite.engine.naming import (
    Parent,
    child_execution_name,
    element_id,
    encode,
    external_id,
    generated_name,
    per_retry_unique_key,
    shard,
    unique_node_id,
)

LONG = ["x", "y", "z", "m", "n", "y", "z", "m", "n", "y", "z", "m", "n"]


def test_encoder_vectors():
    assert encode(["x" * 24], 20) == "fuaa3aji"
    assert encode(LONG, 15) == "fe63sz6y"
    assert encode(LONG, 15, bits=64) == "fwp4bky2kucex5"
    assert encode(["", "a", "b"], 20) == "a-b"


@pytest.mark.parametrize(
    ("parent", "node", "unique"),
    [
        (None, "n0", "n0"),
        (Parent("n2", 0), "n1", "n2-0-n1"),
        (Parent("n4", 0), "n4-n0", "n4-0-n4-n0"),
        (Parent("n0", 2), "dn0", "n0-2-dn0"),
        (Parent("n0-0-dn1", 0), "n0", "n0-0-dn1-0-n0"),
        (Parent("n2", 0), "start-node", "n2-0-start-node"),
    ],
)
def test_unique_node_ids(parent, node, unique):
    assert unique_node_id(parent, node) == unique


def test_a_long_unique_id_is_hashed_and_its_children_read_well_again():
    deep = unique_node_id(Parent("n4-0-n4-n0", 0), "n4-n0-n1")
    assert deep.startswith("f")
    assert len(deep) == 8
    assert unique_node_id(Parent(deep, 0), "n1") == f"{deep}-0-n1"


def test_derived_names():
    assert generated_name("a9ss8w4mnkk8zttr9p7z", "n0", 0) == "a9ss8w4mnkk8zttr9p7z-n0-0"
    assert shard("a9ss8w4mnkk8zttr9p7z-n0-0") == "oz"
    assert element_id(Parent("n5", 0), 3) == "n5-0-n3"
    assert element_id(Parent("n0-1-dn5", 0), 3) == "n0-1-dn5-0-n3"
    # so that an attempt's name is the external id that clients are told
    assert generated_name("exec", element_id(Parent("n5", 0), 3), 2) == external_id("exec", "n5", 3, 2)
    assert external_id("exec", "n5", 3, 1) == "exec-n5-0-n3-1"
    assert child_execution_name("exec", "n1", 0) == "exec-n1-0"
    assert len(child_execution_name("a9ss8w4mnkk8zttr9p7z", "n1", 0)) == 14
    assert per_retry_unique_key("9exec-n0-0") == "aexec_n0_0"
