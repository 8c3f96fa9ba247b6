"""Count the words of a text: a small workflow with a fan-out, a fan-in, and typed data between its tasks."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flytekit import current_context, task, workflow
from flytekit.types.file import FlyteFile

TEXT = """
The quick brown fox jumps over the lazy dog. The dog sleeps; the fox does not.
A fox that jumps over a dog is quick, and a dog that sleeps while a fox jumps is lazy.
"""


@dataclass
class Summary:
    words: int
    distinct: int
    longest: str
    most_common: list[str]


class Result(NamedTuple):
    summary: Summary
    report: FlyteFile
    words: int


@task
def split(text: str) -> list[str]:
    words = ["".join(filter(str.isalpha, word)) for word in text.lower().split()]
    print(f"the text has {len(words)} words")
    return [word for word in words if word]


@task
def count(words: list[str], part: int, parts: int) -> dict[str, int]:
    mine = words[part::parts]
    print(f"part {part + 1} of {parts}: {len(mine)} words")
    return dict(Counter(mine))


@task
def longest(words: list[str]) -> str:
    return max(words, key=len, default="")


@task
def merge(counts: list[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


@task
def summarise(counts: dict[str, int], longest_word: str, top: int) -> Summary:
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return Summary(words=sum(counts.values()), distinct=len(counts), longest=longest_word, most_common=ranked[:top])


@task
def write_report(title: str, summary: Summary) -> FlyteFile:
    path = Path(current_context().working_directory) / "report.txt"
    path.write_text(
        f"{title}\n"
        f"{summary.words} words, {summary.distinct} of them distinct\n"
        f"longest: {summary.longest}\n"
        f"most common: {', '.join(summary.most_common)}\n"
    )
    return FlyteFile(str(path))


@workflow
def count_words(text: str = TEXT, title: str = "Words", top: int = 3) -> Result:
    words = split(text=text)
    # Three counts and the search for the longest word run side by side.
    counts = [count(words=words, part=part, parts=3) for part in range(3)]
    longest_word = longest(words=words)
    summary = summarise(counts=merge(counts=counts), longest_word=longest_word, top=top)
    report = write_report(title=title, summary=summary)
    return Result(summary=summary, report=report, words=summary.words)
