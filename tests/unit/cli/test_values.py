"""Text of the command line as values of Python types."""

from __future__ import annotations

import datetime
import enum
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Optional

import pydantic
import pytest
from flytekit import StructuredDataset
from flytekit.core.type_engine import TypeEngine
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from flytelite.cli.values import describe, parse, type_name


class Colour(enum.Enum):
    RED = "red"
    DEEP_BLUE = "deep blue"


@dataclass
class Point:
    x: int
    y: float = 0.5
    colour: Colour = Colour.RED


@dataclass
class Path2D:
    points: list[Point]
    name: str = ""
    tags: dict[str, int] = field(default_factory=dict)


@dataclass
class Palette:
    palette: list[Colour]


class Person(pydantic.BaseModel):
    name: str
    born: datetime.date


def value_of(text: str, python_type: Any) -> Any:
    return parse(text, python_type, TypeEngine.to_literal_type(python_type))


@pytest.mark.parametrize(
    ("text", "python_type", "value"),
    [
        ("7", int, 7),
        ("-7", int, -7),
        ("1.5", float, 1.5),
        ("2", float, 2.0),
        ("2", str, "2"),
        ("no", bool, False),
        ("TRUE", bool, True),
        ("2026-01-31T12:30", datetime.datetime, datetime.datetime(2026, 1, 31, 12, 30)),
        ("2026-01-31 12:30:05", datetime.datetime, datetime.datetime(2026, 1, 31, 12, 30, 5)),
        ("2026-01-31", datetime.date, datetime.date(2026, 1, 31)),
        ("90 minutes", datetime.timedelta, datetime.timedelta(minutes=90)),
        ("1:30:00", datetime.timedelta, datetime.timedelta(minutes=90)),
        ("deep blue", Colour, Colour.DEEP_BLUE),
        ("RED", Colour, Colour.RED),
        ("[1, 2]", list[int], [1, 2]),
        ("[1, 2]", list[float], [1.0, 2.0]),
        ('{"a": ["x"]}', dict[str, list[str]], {"a": ["x"]}),
        ('["red"]', list[Colour], [Colour.RED]),
        ('["2026-01-31T00:00"]', list[datetime.datetime], [datetime.datetime(2026, 1, 31)]),
        ('{"x": 1}', Point, Point(1)),
        ('{"x": 1, "y": 2.5, "colour": "deep blue"}', Point, Point(1, 2.5, Colour.DEEP_BLUE)),
        ('{"points": [{"x": 1}], "tags": {"a": 1}}', Path2D, Path2D([Point(1)], tags={"a": 1})),
        ('[{"x": 1}]', list[Point], [Point(1)]),
        ('{"name": "Ada", "born": "1815-12-10"}', Person, Person(name="Ada", born=datetime.date(1815, 12, 10))),
        ("none", Optional[int], None),  # noqa: UP045 - flytekit knows both spellings
        ("3", Optional[int], 3),  # noqa: UP045
        ("3", typing.Union[str, int], 3),  # noqa: UP007
        ("three", int | str, "three"),
        ("4", Annotated[int, "positive"], 4),
    ],
)
def test_text_becomes_a_value_of_the_type(text: str, python_type: Any, value: Any) -> None:
    found = value_of(text, python_type)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "python_type"),
    [
        ("x", int),
        ("1.5", int),
        ("x", float),
        ("maybe", bool),
        ("tomorrow", datetime.datetime),
        ("soon", datetime.timedelta),
        ("green", Colour),
        ("[1", list[int]),
        ('["a"]', list[int]),
        ("[true]", list[int]),
        ("[1]", list[str]),
        ("1", list[int]),
        ('{"y": 1}', Point),
        ('{"name": "Ada", "born": "never"}', Person),
        ("/not/there", FlyteFile),
        ("/not/there", FlyteDirectory),
        ("/not/there.parquet", StructuredDataset),
        ("x", Optional[int]),  # noqa: UP045
    ],
)
def test_text_that_means_no_value_is_refused(text: str, python_type: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        value_of(text, python_type)


@pytest.mark.parametrize(
    ("text", "python_type"),
    [
        ('{"x": 1, "colour": "RED"}', Point),  # pyflyte takes values only there, too
        ('{"points": [{"x": 1, "colour": "RED"}]}', Path2D),
        ('{"palette": ["red", "RED"]}', Palette),
    ],
)
def test_a_member_that_a_record_does_not_have_is_told_those_that_there_are(text: str, python_type: Any) -> None:
    with pytest.raises(ValueError, match="Colour is one of red, deep blue") as refused:
        value_of(text, python_type)
    assert "'RED'" in str(refused.value)
    assert "points" not in str(refused.value)


def test_structured_values_may_be_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "point.yaml"
    path.write_text("x: 3\ncolour: red\n")
    assert value_of(f"@{path}", Point) == Point(3)


def test_files_and_directories_are_paths_or_addresses(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("x")
    assert str(value_of(str(path), FlyteFile).path) == str(path)
    assert str(value_of(str(tmp_path), FlyteDirectory).path) == str(tmp_path)
    assert value_of("s3://bucket/key", FlyteFile).path == "s3://bucket/key"


def test_tables_are_read_from_csv_and_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert value_of(str(tmp_path / name), pandas.DataFrame).equals(frame)
    assert value_of("s3://bucket/table", pandas.DataFrame).uri == "s3://bucket/table"


def test_types_are_described_as_one_has_to_write_them() -> None:
    assert describe(int) == "int"
    assert describe(Optional[int]) == "int or none"  # noqa: UP045
    assert describe(list[Point]) == "JSON of list[Point]"
    assert describe(Colour) == "one of red, deep blue"
    assert describe(FlyteFile) == "FlyteFile, the path of a file"
    assert type_name(dict[str, list[int]]) == "dict[str, list[int]]"
    assert type_name(int | None) == "int | None"
