"""Which environment stands for an image, as flytelite.yaml says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flytelite import config
from flytelite.errors import InvalidArgument
from flytelite.image_rules import ImageRule, best, read_rules, without_tag

BASE = Path("/project")


@pytest.mark.parametrize(
    ("image", "plain"),
    [
        ("ghcr.io/acme/train:1", "ghcr.io/acme/train"),
        ("ghcr.io/acme/train@sha256:0", "ghcr.io/acme/train"),
        ("localhost:30000/train", "localhost:30000/train"),
        ("localhost:30000/train:1", "localhost:30000/train"),
        ("train", "train"),
    ],
)
def test_a_tag_is_told_from_a_port(image: str, plain: str) -> None:
    assert without_tag(image) == plain


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ghcr.io/acme/train:1", "ghcr.io/acme/train:1"),
        ("ghcr.io/acme/train:2", "ghcr.io/acme/train"),
        ("ghcr.io/acme/test:2", "ghcr.io/acme/*"),
        ("ghcr.io/other/train:1", "*/train:*"),
        ("other:1", "*"),
    ],
)
def test_the_most_specific_pattern_wins(image: str, expected: str) -> None:
    patterns = ["*", "*/train:*", "ghcr.io/acme/*", "ghcr.io/acme/train", "ghcr.io/acme/train:1"]
    for order in (patterns, patterns[::-1]):
        rule = best([ImageRule(pattern, venv="v") for pattern in order], image)
        assert rule is not None
        assert rule.pattern == expected


def test_no_pattern_is_no_rule() -> None:
    assert best([ImageRule("a", venv="v")], "b") is None


def test_paths_are_relative_to_the_file() -> None:
    rules = read_rules(
        {
            "a": {"venv": "envs/a"},
            "b": {"python": "/opt/b/bin/python"},
            "c": {"requirements": ["pandas"], "python": "3.11"},
            "d": {"requirements": "d.txt"},
            "e": {"requirements": ["-r e.txt", "--constraint=/c.txt", "-e git+https://e", "-i x"]},
        },
        BASE,
    )
    assert rules == (
        ImageRule("a", venv="/project/envs/a"),
        ImageRule("b", python="/opt/b/bin/python"),
        ImageRule("c", python="3.11", requirements=("pandas",)),
        ImageRule("d", requirements="/project/d.txt"),
        ImageRule("e", requirements=("-r /project/e.txt", "--constraint /c.txt", "-e git+https://e", "-i x")),
    )
    assert [rule.makes_environment for rule in rules] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": {"vnev": "x"}}, "python, venv or requirements"),
        ({"a": {}}, "python, venv or requirements"),
        ({"a": "envs/a"}, "python, venv or requirements"),
        ({"a": {"venv": "x", "python": "y"}}, "venv stands alone"),
        ({"a": {"requirements": []}}, "a list such as"),
        ({"a": {"requirements": {"pandas": "1"}}}, "a list such as"),
        ({"a": {"venv": None}}, "venv is the path"),
        ({"a": {"python": "3.12"}}, "python 3.12 needs requirements"),
        ({"a": {"requirements": ["x"], "python": 3.1}}, "in quotes"),
        (["a"], "it is a mapping"),
    ],
)
def test_what_cannot_be_meant_is_refused(content: object, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        read_rules(content, BASE)


def test_settings_have_rules_from_the_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_text("images:\n  a: {venv: a}\nproject_environments:\n  p/d: {venv: b}\n")
    settings = config.load({}, {}, tmp_path)
    assert settings.images == (ImageRule("a", venv=str(tmp_path / "a")),)
    assert settings.project_environments == (ImageRule("p/d", venv=str(tmp_path / "b")),)
    settings = config.load({}, {"FLYTELITE_IMAGES": '{"c": {"venv": "/c"}}'}, tmp_path)
    assert settings.images == (ImageRule("c", venv="/c"),)
    with pytest.raises(InvalidArgument, match="setting images from environment"):
        config.load({}, {"FLYTELITE_IMAGES": "nonsense"}, tmp_path)
