from __future__ import annotations

import msgpack
import pytest
from flyteidl.core import literals_pb2, types_pb2, workflow_pb2
from google.protobuf import json_format, struct_pb2

from flytelite.engine.bindings import BindingResolutionFailure, output_aliases, resolve_all


def integer(value: int) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=value)))


def binary(value) -> literals_pb2.Literal:
    content = literals_pb2.Binary(value=msgpack.packb(value), tag="msgpack")
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=content))


def generic(value) -> literals_pb2.Literal:
    struct = json_format.ParseDict(value, struct_pb2.Struct())
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(generic=struct))


def promise(node: str, var: str, *path: str | int) -> literals_pb2.BindingData:
    attributes = [
        types_pb2.PromiseAttribute(string_value=part)
        if isinstance(part, str)
        else types_pb2.PromiseAttribute(int_value=part)
        for part in path
    ]
    return literals_pb2.BindingData(promise=types_pb2.OutputReference(node_id=node, var=var, attr_path=attributes))


def resolve(data: literals_pb2.BindingData, aliases=None, **outputs: literals_pb2.Literal) -> literals_pb2.Literal:
    known = {"n0": literals_pb2.LiteralMap(literals=outputs)}
    bindings = [literals_pb2.Binding(var="x", binding=data)]
    return resolve_all("n1", bindings, known.__getitem__, aliases).literals["x"]


def test_scalars_collections_and_maps():
    scalar = literals_pb2.BindingData(scalar=integer(1).scalar)
    listed = literals_pb2.BindingData(
        collection=literals_pb2.BindingDataCollection(bindings=[scalar, promise("n0", "o0")])
    )
    mapped = literals_pb2.BindingData(map=literals_pb2.BindingDataMap(bindings={"k": listed}))
    found = resolve(mapped, o0=integer(2)).map.literals["k"].collection.literals
    assert list(found) == [integer(1), integer(2)]


def test_a_promise_keeps_the_literals_hash():
    value = integer(1)
    value.hash = "h"
    assert resolve(promise("n0", "o0"), o0=value).hash == "h"


def test_elements_aliases_and_indexes():
    several = literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[integer(5), integer(6)]))
    keyed = literals_pb2.Literal(map=literals_pb2.LiteralMap(literals={"a": several}))
    assert resolve(promise("n0", "o0", 1), o0=several) == integer(6)
    assert resolve(promise("n0", "o0", "a", 0), o0=keyed) == integer(5)
    assert resolve(promise("n0", "[1].o0"), o0=several) == integer(6)
    node = workflow_pb2.Node(output_aliases=[workflow_pb2.Alias(var="o0", alias="total")])
    assert resolve(promise("n0", "total"), {"n0": output_aliases(node)}, o0=integer(7)) == integer(7)


def test_fields_of_messagepack_structs():
    value = binary({"a": {"b": [1, "two", {"c": 2.5}]}, "flag": True, "none": None})
    assert resolve(promise("n0", "o0", "a", "b", 0), o0=value) == integer(1)
    assert resolve(promise("n0", "o0", "a", "b", 1), o0=value).scalar.primitive.string_value == "two"
    assert resolve(promise("n0", "o0", "a", "b", 2, "c"), o0=value).scalar.primitive.float_value == 2.5
    assert resolve(promise("n0", "o0", "flag"), o0=value).scalar.primitive.boolean is True
    nested = resolve(promise("n0", "o0", "a"), o0=value).scalar.binary
    assert msgpack.unpackb(nested.value) == {"b": [1, "two", {"c": 2.5}]}
    assert nested.tag == "msgpack"
    items = resolve(promise("n0", "o0", "a", "b"), o0=value).collection.literals
    assert [msgpack.unpackb(item.scalar.binary.value) for item in items] == [1, "two", {"c": 2.5}]
    assert msgpack.unpackb(resolve(promise("n0", "o0", "none"), o0=value).scalar.binary.value) is None
    listed = literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[value]))
    assert resolve(promise("n0", "o0", 0, "flag"), o0=listed).scalar.primitive.boolean is True


def test_fields_of_generic_structs():
    value = generic({"a": {"b": [1, "two"]}, "n": 3})
    assert resolve(promise("n0", "o0", "n"), o0=value).scalar.primitive.float_value == 3.0
    assert resolve(promise("n0", "o0", "a", "b", 1), o0=value).scalar.primitive.string_value == "two"
    assert json_format.MessageToDict(resolve(promise("n0", "o0", "a"), o0=value).scalar.generic) == {"b": [1, "two"]}


def test_unions_stay_as_they_are():
    union = literals_pb2.Literal(scalar=literals_pb2.Scalar(union=literals_pb2.Union(value=integer(1))))
    assert resolve(promise("n0", "o0"), o0=union) == union


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (promise("n9", "o0"), "Undefined node in Workflow n9"),
        (promise("n0", "o1"), r"Failed to find \[n0\].\[o1\]"),
        (promise("n0", "o0", "missing"), r"key \[missing\] does not exist"),
        (promise("n0", "o0", "a", "b", 9), r"index \[9\] is out of range of 1 items"),
        (promise("n0", "o0", 0), "unexpected attribute 0"),
    ],
)
def test_what_cannot_be_resolved(data, message):
    with pytest.raises(BindingResolutionFailure, match=message) as caught:
        resolve(data, o0=binary({"a": {"b": [1]}}))
    assert str(caught.value).startswith("failed at Node[n1]. BindingResolutionError: Error binding Var [wf].[x]")
