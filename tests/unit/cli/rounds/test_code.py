"""Which files matter to the code that is watched, and which modules an edit means."""

from __future__ import annotations

from pathlib import Path

import pytest

from flytelite.cli.failure import Usage
from flytelite.cli.rounds.code import Code
from flytelite.cli.rounds.imports import Imports


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def existing(paths: set[Path], root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in paths if path.exists()}


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    write(
        tmp_path,
        flow="import helper\nfrom package import deep, nothing\ndef f():\n    from later import x\n",
        helper="import os, flytekit",
        later="",
        unrelated="",
        package__deep="from . import near\nfrom ..outside import x\nfrom .inner.leaf import y",
        package__near="",
        package__inner__leaf="from ..near import z",
    )
    (tmp_path / "package" / "__init__.py").touch()
    assert existing(Imports(tmp_path).needs("flow"), tmp_path) == {
        "flow.py",
        "helper.py",
        "later.py",
        "package/__init__.py",
        "package/deep.py",
        "package/near.py",
        "package/inner/leaf.py",
    }


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, one="import two", two="import one")
    assert existing(Imports(tmp_path).needs("one"), tmp_path) == {"one.py", "two.py"}


def test_half_an_edit_imports_what_the_file_imported_before(tmp_path: Path) -> None:
    write(tmp_path, flow="import helper", helper="")
    imports = Imports(tmp_path)
    imports.needs("flow")
    write(tmp_path, flow="import helper, (")
    assert existing(imports.needs("flow"), tmp_path) == {"flow.py", "helper.py"}


def test_of_a_file_only_what_it_needs_matters(tmp_path: Path) -> None:
    write(tmp_path, flow="import helper", helper="", unrelated="")
    code = Code([tmp_path / "flow.py"])
    assert code.files() == 2
    write(tmp_path, unrelated="1")
    assert code.edited() == set()
    write(tmp_path, helper="1")
    assert code.edited() == {tmp_path / "helper.py"}
    assert code.edited() == set()
    assert code.modules({tmp_path / "helper.py"}) == ("flow",)


def test_a_missing_module_matters_once_it_is_written_even_in_a_new_directory(tmp_path: Path) -> None:
    write(tmp_path, flow="import package.deep")
    code = Code([tmp_path / "flow.py"])
    assert code.directories() == {tmp_path}
    (tmp_path / "package").mkdir()
    assert code.edited() == set()
    assert code.directories() == {tmp_path, tmp_path / "package"}
    write(tmp_path, package__deep="1")
    assert code.edited() == {tmp_path / "package" / "deep.py"}


def test_what_only_a_round_knows_matters_too(tmp_path: Path) -> None:
    write(tmp_path, flow="import importlib\nimportlib.import_module('plugin')", plugin="")
    code = Code([tmp_path / "flow.py"])
    code.loaded([str(tmp_path / "plugin.py")])
    write(tmp_path, plugin="1")
    assert code.edited() == {tmp_path / "plugin.py"}
    assert code.modules({tmp_path / "plugin.py"}) == ("flow",)


def test_of_a_directory_an_edit_means_the_modules_that_need_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="import flytekit, shared",
        two="import flytekit, shared",
        three="import flytekit",
        shared="",
    )
    (tmp_path / "data.csv").touch()
    code = Code([tmp_path])
    assert set(code.source.modules) == {"one", "two", "three"}
    assert code.modules({tmp_path / "three.py"}) == ("three",)
    assert set(code.modules({tmp_path / "shared.py"})) == {"one", "two"}
    (tmp_path / "data.csv").write_text("1")
    assert set(code.modules(code.edited())) == {"one", "two", "three"}  # whoever reads it
    write(tmp_path, four="import flytekit")
    assert code.modules(code.edited()) == ("four",)


def test_what_lies_about_in_a_directory_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path, flow="import flytekit")
    code = Code([tmp_path])
    for name in (".git/index", "__pycache__/flow.pyc", ".flow.py.swp", "flow.py~", "env/pyvenv.cfg", "env/lib/x.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    assert code.edited() == set()


def test_a_file_that_is_gone_for_a_moment_is_one_edit_and_its_return_another(tmp_path: Path) -> None:
    write(tmp_path, flow="import flytekit")
    code = Code([tmp_path / "flow.py"])
    (tmp_path / "flow.py").unlink()
    assert code.edited() == {tmp_path / "flow.py"}
    write(tmp_path, flow="import flytekit")
    assert code.edited() == {tmp_path / "flow.py"}


def test_paths_that_are_no_code_are_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="does not exist"):
        Code([tmp_path / "missing.py"])
