"""Dagster: runs launched and watched through GraphQL at DAGSTER_URL. Prints samples as JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request

LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LOCATIONS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
LOOK_SECONDS = 0.05


def ask(query: str, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    url = f"{os.environ['DAGSTER_URL']}/graphql"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def run(job: str) -> float:
    node = ask(LOCATIONS)["repositoriesOrError"]["nodes"][0]
    selector = {
        "repositoryLocationName": node["location"]["name"],
        "repositoryName": node["name"],
        "jobName": job,
    }
    begin = time.perf_counter()
    launched = ask(LAUNCH, params={"selector": selector, "mode": "default"})["launchRun"]
    id = launched["run"]["runId"]
    while (status := ask(STATUS, id=id)["runOrError"]["status"]) != "SUCCESS":
        if status in ("FAILURE", "CANCELED"):
            raise RuntimeError(f"{job}: {status}")
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - begin


def rate(at_once: int, seconds: float) -> float:
    begin, ended = time.perf_counter(), []

    def work() -> None:
        while time.perf_counter() - begin < seconds:
            run("one")
            ended.append(1)

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ended) / (time.perf_counter() - begin)


if __name__ == "__main__":
    rounds = json.loads(sys.argv[1])
    samples = {}
    run("one")
    for key, job in (("one", "one"), ("chain", "chain"), ("map", "spread")):
        samples[key] = [run(job) for _ in range(rounds[key])]
    for at_once in (2, 8):
        samples[f"rate{at_once}"] = [rate(at_once, rounds["seconds"])]
    print(json.dumps(samples))
