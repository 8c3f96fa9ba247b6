"""Text of the command line as a value of a Python type, and how a type is described to a person."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import importlib
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_origin

TRUE = {"true", "1", "yes", "on", "t", "y"}
FALSE = {"false", "0", "no", "off", "f", "n"}
_MIDNIGHT = datetime.time()
NOTHING = {"none", "null", ""}


def describe(python_type: Any) -> str:
    """What to write for a value of that type, e.g. ``int`` or ``JSON of list[int]``."""
    python_type = _plain(python_type)
    if _is_union(python_type):
        parts = ["none" if variant is type(None) else describe(variant) for variant in get_args(python_type)]
        return " or ".join(parts)
    if get_origin(python_type) in (list, dict) or python_type in (list, dict) or _is_record(python_type):
        return f"JSON of {type_name(python_type)}"
    if isinstance(python_type, type) and issubclass(python_type, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in python_type)}"
    hints: dict[Any, str] = {
        bool: "bool, true or false",
        datetime.datetime: "datetime, e.g. 2026-01-31T12:00",
        datetime.date: "date, e.g. 2026-01-31",
        datetime.timedelta: "timedelta, e.g. '90 minutes' or 1:30:00",
    }
    if python_type in hints:
        return hints[python_type]
    if _is_file(python_type):
        return f"{type_name(python_type)}, the path of a file"
    if _is_directory(python_type):
        return f"{type_name(python_type)}, the path of a directory"
    if _is_frame(python_type):
        return f"{type_name(python_type)}, the path of a parquet or CSV file"
    return type_name(python_type)


def type_name(python_type: Any) -> str:
    """A type as it is written in code, without its modules."""
    python_type = _plain(python_type)
    if _is_union(python_type):
        return " | ".join(type_name(variant) for variant in get_args(python_type))
    if arguments := get_args(python_type):
        inside = ", ".join(type_name(argument) for argument in arguments)
        return f"{type_name(get_origin(python_type))}[{inside}]"
    if python_type is type(None):
        return "None"
    return str(getattr(python_type, "__name__", python_type))


def default_text(value: Any) -> str:
    """A default as one would write it on the command line, where that differs from Python."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value) if isinstance(value, (datetime.date, datetime.timedelta)) else repr(value)


def parse(text: str, python_type: Any, literal_type: Any) -> Any:
    """The value that ``text`` means for an input of that type.

    Structured values are JSON, or ``@file`` with JSON or YAML in it. Raises ValueError or TypeError when it means
    none.
    """
    python_type = _plain(python_type)
    if _is_union(python_type):
        return _first_that_fits(python_type, lambda variant, part: parse(text, variant, part), text, literal_type)
    if python_type in (str, int, float, bool, datetime.datetime, datetime.date, datetime.timedelta):
        return _scalar(text, python_type)
    if isinstance(python_type, type) and issubclass(python_type, enum.Enum):
        return _enum(text, python_type)
    if _is_file(python_type) or _is_directory(python_type):
        return _path(text, python_type)
    if _is_frame(python_type):
        return _frame(text, python_type)
    if python_type in (list, dict) or get_origin(python_type) in (list, dict) or _is_record(python_type):
        return from_json(_load_json(text), python_type, literal_type)
    return _as_pyflyte_does(text, python_type, literal_type)


def from_json(value: Any, python_type: Any, literal_type: Any = None) -> Any:
    """A value of that type out of parsed JSON."""
    python_type = _plain(python_type)
    if _is_union(python_type):
        return _first_that_fits(python_type, lambda variant, part: from_json(value, variant, part), value, literal_type)
    if python_type is Any or python_type in (list, dict):
        return _checked(value, python_type)
    if get_origin(python_type) is list:
        return [from_json(item, get_args(python_type)[0]) for item in _checked(value, list)]
    if get_origin(python_type) is dict:
        key_type, value_type = get_args(python_type)
        return {from_json(key, key_type): from_json(item, value_type) for key, item in _checked(value, dict).items()}
    if hasattr(python_type, "model_validate"):
        return _model(value, python_type)
    if dataclasses.is_dataclass(python_type) and not _is_file(python_type) and not _is_directory(python_type):
        return _record(value, python_type)
    if python_type in (int, float, bool, str) and not isinstance(value, str):
        return float(value) if python_type is float and type(value) is int else _checked(value, python_type)
    if python_type is str or isinstance(value, str):
        return parse(value, python_type, literal_type)
    return _checked(value, python_type)


def _record(value: Any, python_type: Any) -> Any:
    from mashumaro.codecs.json import JSONDecoder
    from mashumaro.exceptions import InvalidFieldValue, MissingField

    try:
        return JSONDecoder(python_type).decode(json.dumps(value))
    except (InvalidFieldValue, MissingField) as error:
        cause: BaseException = error
        while isinstance(cause.__context__, (InvalidFieldValue, MissingField)):
            cause = cause.__context__  # of the record inside, which is where the mistake is
        known = "; ".join(
            f"{type_name(kind)} is {describe(kind)}" for kind in _enums(getattr(cause, "field_type", None))
        )
        raise ValueError("; ".join(filter(None, (str(cause), known)))) from error


def _enums(python_type: Any) -> Iterator[type[enum.Enum]]:
    """The enums in a type, e.g. in a list or a union."""
    if isinstance(python_type, type) and issubclass(python_type, enum.Enum):
        yield python_type
    for argument in get_args(python_type):
        yield from _enums(argument)


def _model(value: Any, python_type: Any) -> Any:
    from pydantic import ValidationError

    try:
        return python_type.model_validate(value)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ValueError("; ".join(problems)) from error


def _scalar(text: str, python_type: Any) -> Any:
    if python_type is bool:
        if text.lower() in TRUE | FALSE:
            return text.lower() in TRUE
        raise ValueError("not true or false")
    if python_type is datetime.timedelta:
        from pytimeparse.timeparse import timeparse

        seconds = timeparse(text)
        if seconds is None:
            raise ValueError("not a duration")
        return datetime.timedelta(seconds=seconds)
    if python_type in (datetime.datetime, datetime.date):
        # A time without an offset is UTC in Flyte, so "now" has one.
        named = {"now": datetime.datetime.now().astimezone(), "today": datetime.datetime.combine(_today(), _MIDNIGHT)}
        moment = named.get(text) or datetime.datetime.fromisoformat(text)
        return moment.date() if python_type is datetime.date else moment
    return python_type(text)


def _today() -> datetime.date:
    return datetime.datetime.now().astimezone().date()


def _enum(text: str, python_type: type[enum.Enum]) -> enum.Enum:
    for member in python_type:
        if text in (str(member.value), member.name):
            return member
    raise ValueError("not one of them")


def _path(text: str, python_type: Any) -> Any:
    if "://" not in text:
        path = Path(text).expanduser()
        if not (path.is_dir() if _is_directory(python_type) else path.is_file()):
            raise ValueError(f"there is no such {'directory' if _is_directory(python_type) else 'file'}")
        text = str(path)
    if hasattr(python_type, "__fspath__") and python_type.__module__.startswith("flytekit"):
        return python_type(path=text)
    return Path(text)


def _frame(text: str, python_type: Any) -> Any:
    """Local tables are read here, so that flytekit uploads their content; an address is handed on as it is."""
    from flytekit import StructuredDataset

    if "://" in text:
        return StructuredDataset(uri=text)
    path = Path(text).expanduser()
    if not path.exists():
        raise ValueError("there is no such file")
    pandas = importlib.import_module("pandas")
    frame = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    return StructuredDataset(dataframe=frame) if python_type is StructuredDataset else frame


def _load_json(text: str) -> Any:
    if text.startswith("@"):
        import yaml

        return yaml.safe_load(Path(text[1:]).expanduser().read_text())
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error


def _as_pyflyte_does(text: str, python_type: Any, literal_type: Any) -> Any:
    import click
    from flytekit.interaction.click_types import literal_type_to_click_type

    context = click.Context(click.Command("run"), obj=SimpleNamespace(is_remote=True, verbose=0))
    try:
        return literal_type_to_click_type(literal_type, python_type).convert(text, None, context)
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error


def _first_that_fits(python_type: Any, convert: Any, value: Any, literal_type: Any) -> Any:
    """The first variant of a union that accepts the value; str comes last since it accepts everything."""
    variants = list(get_args(python_type))
    if type(None) in variants and (value is None or (isinstance(value, str) and value.lower() in NOTHING)):
        return None
    parts = literal_type.union_type.variants if literal_type is not None else [None] * len(variants)
    problems = []
    for variant, part in sorted(zip(variants, parts, strict=True), key=lambda pair: pair[0] is str):
        if variant is type(None):
            continue
        try:
            return convert(variant, part)
        except (ValueError, TypeError) as error:
            problems.append(str(error))
    raise ValueError("; ".join(problems))


def _checked(value: Any, python_type: Any) -> Any:
    if python_type is not Any and (
        not isinstance(value, python_type)
        or (python_type is int and value in (True, False) and isinstance(value, bool))
    ):
        raise ValueError(f"{json.dumps(value)} is not {type_name(python_type)}")
    return value


def _plain(python_type: Any) -> Any:
    while get_origin(python_type) is typing.Annotated:
        python_type = get_args(python_type)[0]
    return python_type


def _is_union(python_type: Any) -> bool:
    return get_origin(python_type) in (typing.Union, types.UnionType)


def _is_record(python_type: Any) -> bool:
    """Whether values are written as a JSON object: dataclasses and pydantic models, but not flytekit's own types."""
    if _is_file(python_type) or _is_directory(python_type) or _is_frame(python_type):
        return False
    return dataclasses.is_dataclass(python_type) or hasattr(python_type, "model_validate")


def _is_file(python_type: Any) -> bool:
    from flytekit.types.file import FlyteFile

    return isinstance(python_type, type) and (issubclass(python_type, FlyteFile) or _names_path(python_type))


def _names_path(python_type: type) -> bool:
    import os

    return python_type in (Path, os.PathLike)


def _is_directory(python_type: Any) -> bool:
    from flytekit.types.directory import FlyteDirectory

    return isinstance(python_type, type) and issubclass(python_type, FlyteDirectory)


def _is_frame(python_type: Any) -> bool:
    from flytekit import StructuredDataset

    if not isinstance(python_type, type):
        return False
    is_pandas = python_type.__module__.partition(".")[0] == "pandas" and python_type.__name__ == "DataFrame"
    return is_pandas or issubclass(python_type, StructuredDataset)
