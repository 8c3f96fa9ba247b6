"""Inputs and outputs of containers without flytekit: files in two directories.

Rules: ``flytecopilot/data/{download,upload}.go``. There a sidecar does it, here the engine. Everything in this module
blocks on the disk.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from flyteidl.core import errors_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from google.protobuf import json_format, struct_pb2, timestamp_pb2

from flytelite.engine import attributes, data, offloading
from flytelite.engine.tasks import durations, stores
from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.engine.tasks.templates import go_duration, rfc3339

ERROR_FILE = "_ERROR"
ERROR_LIMIT = 1024 * 1024
VALUE_LIMIT = 1024
"""Bytes of a file that holds one value."""

UPLOAD_FAILED = "OutputUploadFailed"

_JSON = tasks_pb2.DataLoadingConfig.JSON
_YAML = tasks_pb2.DataLoadingConfig.YAML
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


class Unusable(Exception):
    """What a container left is not what its task declares."""


class Inputs:
    """The inputs of one task as files of ``directory``, which the container sees as ``seen``."""

    def __init__(self, directory: Path, seen: str) -> None:
        self.directory = directory
        self.seen = seen

    def write(self, inputs: literals_pb2.LiteralMap, format: int) -> None:
        """Write all of them. Raises BadTaskFormat for a literal without a form as files, and OSError."""
        values: dict[str, Any] = {}
        rewritten = literals_pb2.LiteralMap()
        for name in sorted(inputs.literals):
            values[name], literal = self._literal(inputs.literals[name], _member((), name))
            rewritten.literals[name].CopyFrom(literal)
        (self.directory / data.INPUTS).write_bytes(rewritten.SerializeToString(deterministic=True))
        if format == _JSON:
            (self.directory / "inputs.json").write_text(_go_json(values))
        elif format == _YAML:
            import yaml  # not at the start of every server

            (self.directory / "inputs.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))

    def _literal(self, literal: literals_pb2.Literal, parts: tuple[str, ...]) -> tuple[Any, literals_pb2.Literal]:
        """Write one literal; its value for the JSON file, and the literal with the addresses of the files."""
        literal = offloading.load(literal)
        kind = literal.WhichOneof("value")
        path = self.directory.joinpath(*parts)
        if kind == "collection":
            path.mkdir()
            items = [self._literal(item, _member(parts, str(i))) for i, item in enumerate(literal.collection.literals)]
            found = literals_pb2.LiteralCollection(literals=[item for _, item in items])
            return [value for value, _ in items], literals_pb2.Literal(collection=found)
        if kind == "map":
            path.mkdir()
            values, result = {}, literals_pb2.Literal(map=literals_pb2.LiteralMap())
            for key in sorted(literal.map.literals):
                values[key], item = self._literal(literal.map.literals[key], _member(parts, key))
                result.map.literals[key].CopyFrom(item)
            return values, result
        if kind == "scalar":
            return self._scalar(literal.scalar, parts)
        raise _without_form(parts, kind)

    def _scalar(self, scalar: literals_pb2.Scalar, parts: tuple[str, ...]) -> tuple[Any, literals_pb2.Literal]:
        kind = scalar.WhichOneof("value")
        path = self.directory.joinpath(*parts)
        if kind == "union":
            value, inner = self._literal(scalar.union.value, parts)
            union = literals_pb2.Union(value=inner, type=scalar.union.type)
            return value, literals_pb2.Literal(scalar=literals_pb2.Scalar(union=union))
        if kind in ("blob", "schema"):
            found = getattr(scalar, kind)
            many = kind == "schema" or found.metadata.type.dimensionality == types_pb2.BlobType.MULTIPART
            stores.fetch(found.uri, path, many)
            seen = "/".join((self.seen, *parts))
            result = literals_pb2.Literal(scalar=scalar)
            getattr(result.scalar, kind).uri = seen
            return seen, result
        if kind not in _SCALARS:
            raise BadTaskFormat(
                f"the input [{'/'.join(parts)}] is a scalar of kind [{kind}], which has no form as files"
            )
        content, value = _SCALARS[kind](getattr(scalar, kind))
        path.write_bytes(content)
        return value, literals_pb2.Literal(scalar=scalar)


def _without_form(parts: Sequence[str], kind: str | None) -> BadTaskFormat:
    return BadTaskFormat(f"the input [{'/'.join(parts)}] is a literal of kind [{kind}], which has no form as files")


def _member(parts: Sequence[str], name: str) -> tuple[str, ...]:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise BadTaskFormat(f"the input [{'/'.join((*parts, name))}] cannot be a file of that name")
    return (*parts, name)


def _primitive(primitive: literals_pb2.Primitive) -> tuple[bytes, Any]:
    kind = primitive.WhichOneof("value")
    if kind == "string_value":
        return primitive.string_value.encode(), primitive.string_value
    if kind == "boolean":
        return str(primitive.boolean).lower().encode(), primitive.boolean
    if kind == "integer":
        return str(primitive.integer).encode(), primitive.integer
    if kind == "float_value":
        value = primitive.float_value
        return _decimal(value).encode(), int(value) if value.is_integer() else value
    if kind == "datetime":
        return rfc3339(primitive.datetime).encode(), rfc3339(primitive.datetime)
    if kind == "duration":
        return go_duration(primitive.duration).encode(), None  # what Flyte's copilot writes into the JSON file too
    return b"null", None


def _decimal(value: float) -> str:
    """The shortest decimal without an exponent."""
    number = Decimal(repr(value))
    if not number.is_finite():
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    return f"{number:f}".removesuffix(".0")


def _generic(struct: struct_pb2.Struct) -> tuple[bytes, Any]:
    value = json_format.MessageToDict(struct)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(), value


_SCALARS: Mapping[str, Callable[[Any], tuple[bytes, Any]]] = {
    "primitive": _primitive,
    "generic": _generic,
    "binary": lambda binary: (binary.value, base64.b64encode(binary.value).decode()),
    "error": lambda error: (error.message.encode(), error.message),
    "none_type": lambda _: (b"null", None),
}


def _go_json(value: Any) -> str:
    """JSON as Go writes it: keys in order, no spaces, nothing that HTML would take for its own."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def collect(outputs: Path, declared: interface_pb2.VariableMap, target: Path, raw_prefix: str) -> None:
    """Make the result files of what the container left in ``outputs``: outputs.pb, or error.pb when it is unusable."""
    try:
        found = _collected(outputs, declared, raw_prefix)
    except (Unusable, OSError) as error:
        text = str(error)
    else:
        data.write_bytes(target / data.OUTPUTS, found.SerializeToString(deterministic=True))
        return
    document = errors_pb2.ErrorDocument()
    document.error.code = UPLOAD_FAILED
    document.error.message = text
    document.error.kind = errors_pb2.ContainerError.RECOVERABLE
    data.write_bytes(target / data.ERROR, document.SerializeToString(deterministic=True))


def _collected(outputs: Path, declared: interface_pb2.VariableMap, raw_prefix: str) -> literals_pb2.LiteralMap:
    _raise_told_error(outputs / ERROR_FILE)
    result = literals_pb2.LiteralMap()
    for name, variable in declared.variables.items():
        kind = variable.type.WhichOneof("type")
        if kind == "simple":
            result.literals[name].CopyFrom(_value(outputs / name, variable.type.simple))
        elif kind == "blob":
            result.literals[name].CopyFrom(_blob(outputs / name, f"{raw_prefix}/{name}"))
        else:
            raise Unusable(f"outputs of raw containers are single values or files, not [{kind}] as [{name}] is")
    return result


def _raise_told_error(path: Path) -> None:
    if not path.exists():
        return
    if path.is_dir():
        raise Unusable("error file is a directory")
    if (size := path.stat().st_size) > ERROR_LIMIT:
        raise Unusable(f"error file too large {size}")
    raise Unusable(f"User Error: {path.read_text(errors='replace')}")


def _found(path: Path) -> Path:
    """The file or directory of an output; a file may have any one extension."""
    if path.exists():
        return path
    others = list(path.parent.glob(f"{path.name}.*"))
    if len(others) != 1:
        raise Unusable(f"file not found at path [{path.name}] of the output directory")
    return others[0]


def _value(path: Path, kind: int) -> literals_pb2.Literal:
    path = _found(path)
    name = types_pb2.SimpleType.Name(kind)
    if path.is_dir():
        raise Unusable(f"expected file for type [{name}], found dir at path [{path.name}]")
    if (size := path.stat().st_size) > VALUE_LIMIT:
        raise Unusable(f"maximum allowed filesize is [{VALUE_LIMIT}], but found [{size}] in [{path.name}]")
    text = path.read_bytes().strip(b" \n\t").decode(errors="replace")
    try:
        return literals_pb2.Literal(scalar=_parsed(text, kind))
    except (ValueError, json_format.ParseError) as error:
        raise Unusable(f"the output [{path.name}] is not of type [{name}]: {error}") from error


def _parsed(text: str, kind: int) -> literals_pb2.Scalar:
    if kind == types_pb2.STRUCT:
        return literals_pb2.Scalar(generic=json_format.Parse(text, struct_pb2.Struct()))
    if kind == types_pb2.BINARY:
        return literals_pb2.Scalar(binary=literals_pb2.Binary(value=text.encode(), tag=attributes.MESSAGEPACK))
    if kind == types_pb2.ERROR:
        return literals_pb2.Scalar(error=types_pb2.Error(message=text))
    if kind == types_pb2.NONE:
        return literals_pb2.Scalar(none_type=literals_pb2.Void())
    return literals_pb2.Scalar(primitive=_parsed_primitive(text, kind))


def _parsed_primitive(text: str, kind: int) -> literals_pb2.Primitive:
    if kind == types_pb2.STRING:
        return literals_pb2.Primitive(string_value=text)
    if kind == types_pb2.BOOLEAN:
        if text not in _TRUTH:
            raise ValueError(f"{text!r} is neither true nor false")
        return literals_pb2.Primitive(boolean=_TRUTH[text])
    if kind == types_pb2.DURATION:
        return literals_pb2.Primitive(duration=durations.parse(text))
    if kind == types_pb2.DATETIME:
        moment = timestamp_pb2.Timestamp()
        moment.FromJsonString(text)
        return literals_pb2.Primitive(datetime=moment)
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    if kind == types_pb2.INTEGER:
        return literals_pb2.Primitive(integer=int(text))
    if kind == types_pb2.FLOAT:
        return literals_pb2.Primitive(float_value=float(text))
    raise ValueError("raw containers have no outputs of that type")


def _blob(path: Path, uri: str) -> literals_pb2.Literal:
    path = _found(path)
    many = path.is_dir()
    stores.send(path, uri, many)
    dimensionality = types_pb2.BlobType.MULTIPART if many else types_pb2.BlobType.SINGLE
    metadata = literals_pb2.BlobMetadata(type=types_pb2.BlobType(dimensionality=dimensionality))
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=literals_pb2.Blob(uri=uri, metadata=metadata)))


def clear(*directories: Path) -> None:
    """Fresh directories."""
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
