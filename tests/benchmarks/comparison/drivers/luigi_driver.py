"""Luigi: tasks with a file each, by a scheduler in this process; workers are forks of it. Prints samples as JSON."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import luigi


class Step(luigi.Task):
    place = luigi.Parameter()
    number = luigi.IntParameter()
    chained = luigi.BoolParameter()

    def requires(self):
        if self.chained and self.number > 0:
            return [Step(place=self.place, number=self.number - 1, chained=True)]
        return []

    def output(self):
        return luigi.LocalTarget(str(Path(self.place) / str(self.number)))

    def run(self):
        with self.output().open("w") as file:
            file.write(str(self.number + 1))


def run(count: int, chained: bool = False, workers: int = 1) -> float:
    with tempfile.TemporaryDirectory() as place:
        last = [count - 1] if chained else range(count)
        tasks = [Step(place=place, number=number, chained=chained) for number in last]
        begin = time.perf_counter()
        if not luigi.build(tasks, workers=workers, local_scheduler=True):
            raise RuntimeError("a task failed")
        return time.perf_counter() - begin


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    rounds = json.loads(sys.argv[1])
    samples = {}
    # More than one worker is what makes Luigi fork: a process for each task, as the others have it.
    for key, count, chained in (("one", 1, False), ("chain", 10, True), ("map", 100, False)):
        run(count, chained, 2)
        samples[key] = [run(count, chained, 2) for _ in range(rounds[key])]
    for at_once in (2, 8):
        samples[f"rate{at_once}"] = [200 / run(200, workers=at_once)]
    print(json.dumps(samples))
