from __future__ import annotations

import asyncio
import threading

import pytest
from flyteidl.core import literals_pb2

from flytelite.engine import data
from flytelite.engine.small_files import AT_ONCE, SmallFiles


@pytest.fixture
def files():
    files = SmallFiles()
    yield files
    files.close()
    if files._thread is not None:
        files._thread.join(60)
        assert not files._thread.is_alive()


def literals(text: str) -> literals_pb2.LiteralMap:
    literal = literals_pb2.Literal()
    literal.scalar.primitive.string_value = text
    return literals_pb2.LiteralMap(literals={"text": literal})


def read(path) -> str:
    return literals_pb2.LiteralMap.FromString(path.read_bytes()).literals["text"].scalar.primitive.string_value


def test_many_at_once(files, tmp_path):
    paths = [tmp_path / f"n{number}" / "data" / "inputs.pb" for number in range(3 * AT_ONCE)]

    async def main():
        return await asyncio.gather(*(files.write(path, literals(str(path))) for path in paths))

    written = asyncio.run(main())
    assert [read(path) for path in paths] == [str(path) for path in paths]
    assert written == [{path: path.read_bytes()} for path in paths]


def test_the_last_write_of_a_path_stays(files, tmp_path):
    path = tmp_path / "outputs.pb"

    async def main():
        await asyncio.gather(*(files.write(path, literals(str(number))) for number in range(100)))

    asyncio.run(main())
    assert read(path) == "99"


def test_a_failure_is_told_to_who_waits_for_that_file(files, tmp_path):
    (tmp_path / "file").write_text("")

    async def main():
        paths = [tmp_path / "a", tmp_path / "file" / "b", tmp_path / "c"]
        return await asyncio.gather(*(files.write(path, literals("x")) for path in paths), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert isinstance(second, NotADirectoryError)
    assert list(first) == [tmp_path / "a"]
    assert list(third) == [tmp_path / "c"]


def test_who_was_cancelled_does_not_hear_of_it(files, tmp_path):
    async def main():
        task = asyncio.create_task(files.write(tmp_path / "a", literals("x")))
        await asyncio.sleep(0)
        task.cancel()
        await files.write(tmp_path / "b", literals("y"))
        assert task.cancelled()

    asyncio.run(main())
    assert read(tmp_path / "b") == "y"


def test_a_write_after_the_end_is_refused(files, tmp_path):
    files.close()
    with pytest.raises(RuntimeError, match="after the end"):
        asyncio.run(files.write(tmp_path / "a", literals("x")))


def test_a_large_file_is_synced_and_not_for_the_record(files, tmp_path):
    text = "x" * data.SMALL
    assert asyncio.run(files.write(tmp_path / "a", literals(text))) == {}
    assert read(tmp_path / "a") == text
    assert not [thread for thread in threading.enumerate() if thread.name == "flytelite-files"]
