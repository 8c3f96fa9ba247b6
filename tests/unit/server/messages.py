"""Messages of any type, with some of their fields set."""

from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from flytelite import descriptors

SCALARS = {
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}
WELL_KNOWN = {
    "google.protobuf.Timestamp": st.builds(
        timestamp_pb2.Timestamp, seconds=st.integers(0, 2_000_000_000), nanos=st.integers(0, 999_999_999)
    ),
    "google.protobuf.Duration": st.builds(duration_pb2.Duration, seconds=st.integers(0, 10**6)),
    "google.protobuf.Struct": st.dictionaries(st.text(max_size=3), st.none() | st.booleans(), max_size=2).map(
        lambda value: json_format.ParseDict(value, struct_pb2.Struct())
    ),
}


@st.composite
def filled(draw, kind, depth=0):
    """A message with some of its fields set, at random."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if depth > 5 or draw(st.integers(0, 2)) == 0:
            continue
        if descriptors.is_map(field):
            values = field.message_type.fields_by_name["value"]
            for key in draw(st.lists(st.text(max_size=3), max_size=2, unique=True)):
                if values.message_type is None:
                    getattr(message, field.name)[key] = draw(scalars(values))
                else:
                    getattr(message, field.name)[key].CopyFrom(draw(messages(values, depth)))
        elif descriptors.is_repeated(field):
            for _ in range(draw(st.integers(0, 2))):
                one = draw(messages(field, depth) if field.message_type else scalars(field))
                getattr(message, field.name).append(one)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(messages(field, depth)))
        else:
            setattr(message, field.name, draw(scalars(field)))
    return message


def scalars(field):
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    return SCALARS.get(field.cpp_type, st.text(max_size=4))


def messages(field, depth):
    known = WELL_KNOWN.get(field.message_type.full_name)
    if known is not None:
        return known
    if field.message_type.full_name.startswith("google.protobuf."):
        return st.just(field.message_type._concrete_class())
    return filled(field.message_type._concrete_class, depth + 1)
