"""The user's entities as requests, and the version that their content gives."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import launch_plan_pb2
from flyteidl.core import literals_pb2, types_pb2
from flytekit import LaunchPlan, map_task, task, workflow
from flytekit.core.context_manager import FlyteEntities

from flytelite import cli
from flytelite.cli.bundle import make_bundle
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure, Usage
from flytelite.cli.serialization import Registrable, Serializer, content_version
from flytelite.cli.source import Source


@task
def double(value: int) -> int:
    return 2 * value


@workflow
def inner(values: list[int]) -> list[int]:
    return map_task(double)(value=values)


@workflow
def outer(values: list[int]) -> list[int]:
    map_task(double)(value=values)
    return inner(values=values)


active_plan = LaunchPlan.get_or_create(outer, "test_serialization.active", auto_activate=True)


@task(container_image="{{.image.trained.fqn}}:{{.image.trained.version}}")
def in_a_named_image() -> int:
    return 1


def serialize(monkeypatch: Any, **known: str) -> list[Registrable]:
    here = [double, outer, active_plan]
    monkeypatch.setattr(FlyteEntities, "entities", here)
    source = Source(Path(__file__).parent, ("test_serialization",), whole_tree=False)
    return Serializer(source, Endpoint("localhost:1", "test"), "p", "d").serialize(**known)


def test_everything_comes_once_and_dependencies_first(monkeypatch: Any) -> None:
    made = serialize(monkeypatch, version="v1", bundle_url="/bucket/code.tar.gz")
    names = [(entity.id.resource_type, entity.id.name.rpartition(".")[2]) for entity in made]
    assert len(set(names)) == len(names)
    # Each workflow has its default launch plan, except the inner one, which is only a part.
    assert [name for kind, name in names if kind == 2] == ["inner", "outer"]
    assert [name for kind, name in names if kind == 3] == ["outer", "active"]
    assert {entity.id.version for entity in made} == {"v1"}
    assert [entity.id.name for entity in made if entity.activate] == ["test_serialization.active"]
    container = made[0].request.spec.template.container
    assert container.args[:5] == [
        "pyflyte-fast-execute",
        "--additional-distribution",
        "/bucket/code.tar.gz",
        "--dest-dir",
        ".",
    ]


def serialize_one(monkeypatch: Any, entity: Any, *images: str) -> Any:
    monkeypatch.setattr(FlyteEntities, "entities", [entity])
    source = Source(Path(__file__).parent, ("test_serialization",), whole_tree=False)
    return Serializer(source, Endpoint("localhost:1", "test"), "p", "d", images).serialize()[0].request


def test_images_are_named_on_the_command_line(monkeypatch: Any) -> None:
    named = serialize_one(monkeypatch, in_a_named_image, "trained=acme/train:7", "acme/default:1")
    assert named.spec.template.container.image == "acme/train:7"
    other = serialize_one(monkeypatch, double, "trained=acme/train:7", "acme/default:1")
    assert other.spec.template.container.image == "acme/default:1"
    with pytest.raises(Usage, match="--image trained=acme/train cannot be used"):
        serialize_one(monkeypatch, in_a_named_image, "trained=acme/train")
    with pytest.raises(Failure, match="image 'trained'; --image trained=IMAGE"):
        serialize_one(monkeypatch, in_a_named_image)


def test_the_version_is_the_contents(monkeypatch: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "code"
    bundle.write_bytes(b"x")
    version = content_version(bundle, "/b", serialize(monkeypatch))
    assert content_version(bundle, "/b", serialize(monkeypatch)) == version
    assert content_version(bundle, "/c", serialize(monkeypatch)) != version
    assert content_version(bundle, "/b", serialize(monkeypatch)[1:]) != version
    bundle.write_bytes(b"y")
    assert content_version(bundle, "/b", serialize(monkeypatch)) != version


def test_the_version_is_the_same_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from flytelite.cli.endpoint import Endpoint\n"
        "from flytelite.cli.serialization import Serializer, content_version\n"
        "from flytelite.cli.source import load, locate\n"
        "source = locate([Path(sys.argv[1])])\n"
        "serializer = Serializer(source, Endpoint('localhost:1', 'test'), 'p', 'd')\n"
        "load(source); print(content_version(Path(sys.argv[1]), '', serializer.serialize()))"
    )
    starter = Path(cli.__file__).parent.parent / "templates" / "hello" / "hello.py"
    versions = {
        subprocess.run(
            [sys.executable, "-B", "-c", script, starter],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(4)
    }
    assert len(versions) == 1


def test_addresses_drawn_at_random_do_not_change_the_version(tmp_path: Path) -> None:
    bundle = tmp_path / "code"
    bundle.touch()

    def plan(table: str, file: str) -> Registrable:
        blob = types_pb2.BlobType(format="PythonPickle")
        literals = {
            "table": literals_pb2.Scalar(structured_dataset=literals_pb2.StructuredDataset(uri=table)),
            "pickle": literals_pb2.Scalar(
                blob=literals_pb2.Blob(uri=table, metadata=literals_pb2.BlobMetadata(type=blob))
            ),
            "file": literals_pb2.Scalar(blob=literals_pb2.Blob(uri=file)),
        }
        fixed = literals_pb2.LiteralMap(literals={k: literals_pb2.Literal(scalar=v) for k, v in literals.items()})
        return Registrable(
            launch_plan_pb2.LaunchPlanCreateRequest(spec=launch_plan_pb2.LaunchPlanSpec(fixed_inputs=fixed))
        )

    assert content_version(bundle, "", [plan("/a", "/f")]) == content_version(bundle, "", [plan("/b", "/f")])
    assert content_version(bundle, "", [plan("/a", "/f")]) != content_version(bundle, "", [plan("/a", "/g")])


def test_a_bundle_of_a_tree_leaves_out_what_is_not_code(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("flow.py", "data/table.csv", ".flytelite/store/1", "env/pyvenv.cfg", "env/lib.py", "__pycache__/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / ".flytelite" / ".gitignore").write_text("*\n")
    (tmp_path / "out").mkdir()
    bundle = make_bundle(Source(root, ("flow",), whole_tree=True), tmp_path / "out")
    with tarfile.open(bundle) as archive:
        assert sorted(archive.getnames()) == ["data/table.csv", "flow.py"]
    assert make_bundle(Source(root, ("flow",), whole_tree=True), tmp_path).read_bytes() == bundle.read_bytes()


def test_of_a_file_only_what_it_imports_is_bundled_also_in_functions(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(
        "import part\nfrom flytekit import task\n@task\ndef t() -> int:\n    import later, yaml\n    return 1\n"
    )
    for name in ("part", "unrelated", "pack/__init__", "pack/unrelated", "yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "later.py").write_text("def f():\n    from pack import deep\n")
    (tmp_path / "pack/deep.py").write_text("raise RuntimeError('imported ahead of its time')")
    (tmp_path / "out").mkdir()
    script = (
        "from pathlib import Path\nfrom flytelite.cli.bundle import make_bundle\n"
        "from flytelite.cli.source import load, locate\nimport yaml\n"
        f"source = locate([Path({str(tmp_path / 'flow.py')!r})]); load(source)\n"
        f"print(make_bundle(source, Path({str(tmp_path / 'out')!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    with tarfile.open(done.stdout.strip()) as archive:
        assert sorted(archive.getnames()) == ["flow.py", "later.py", "pack/__init__.py", "pack/deep.py", "part.py"]


def test_a_program_beside_the_root_is_not_bundled(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "flow.py").write_text("from flytekit import task\n@task\ndef t() -> int:\n    return 1\n")
    (tmp_path / "program.py").write_text(
        "from pathlib import Path\nfrom flytelite.cli.bundle import make_bundle\n"
        "from flytelite.cli.source import load, locate\n"
        "source = locate([Path('flow.py')]); load(source)\nprint(make_bundle(source, Path('..')))"
    )
    command = [sys.executable, "../program.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    with tarfile.open(root / done.stdout.strip()) as archive:
        assert archive.getnames() == ["flow.py"]


def test_flytekit_leaves_ctrl_c_alone() -> None:
    script = (
        "import signal, sys; from flytelite.cli import serialization as s\n"
        "s.prepare_flytekit(); assert 'flytekit' in sys.modules\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
