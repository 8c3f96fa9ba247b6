"""The RPCs of the cache service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .rows import Call, Row, changed, edited, fails, refused, succeeds
from .words import ONE, TEXT

(
    CREATE_DATASET,
    GET_DATASET,
    LIST_DATASETS,
    CREATE_ARTIFACT,
    GET_ARTIFACT,
    UPDATE_ARTIFACT,
    LIST_ARTIFACTS,
    ADD_TAG,
    RESERVE,
    RELEASE,
) = (
    f"DataCatalog/{name}"
    for name in (
        "CreateDataset",
        "GetDataset",
        "ListDatasets",
        "CreateArtifact",
        "GetArtifact",
        "UpdateArtifact",
        "ListArtifacts",
        "AddTag",
        "GetOrExtendReservation",
        "ReleaseReservation",
    )
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PARTS = ("project", "domain", "name", "version")
DATASET = {"project": "flytesnacks", "domain": "development", "name": "flyte_task-double", "version": "1-a-b"}
OTHER = changed(DATASET, name="other")
KEY_MAP = {"key_map": {"task-version": "v1"}}
CREATE = {"dataset": {"id": DATASET, "metadata": KEY_MAP, "partitionKeys": ["region", "day"]}}
PARTITIONS = [{"key": "region", "value": "eu"}, {"key": "day", "value": "1"}]


def artifact(id: str = "a1", **fields: Any) -> dict[str, Any]:
    found = {"id": id, "dataset": DATASET, "data": [{"name": "o0", "value": ONE}], "partitions": PARTITIONS}
    return {"artifact": found | fields}


def tag(name: str = "t1", artifact_id: str = "a1") -> dict[str, Any]:
    return {"tag": {"name": name, "artifact_id": artifact_id, "dataset": DATASET}}


HAVE_DATASET = (Call(CREATE_DATASET, CREATE),)
HAVE_ARTIFACT = (*HAVE_DATASET, Call(CREATE_ARTIFACT, artifact(metadata={"key_map": {"exec-node": "n0"}})))
HAVE_TAG = (*HAVE_ARTIFACT, Call(ADD_TAG, tag()))


def rows() -> Iterator[Row]:
    yield from _datasets()
    yield from _artifacts()
    yield from _get_artifact()
    yield from _update()
    yield from _lists()
    yield from _list_errors()
    yield from _tags()
    yield from _reservations()


def _id_errors(method: str, request: dict[str, Any], path: str, given: tuple[Call, ...] = ()) -> Iterator[Row]:
    yield refused(method, "no dataset", changed(request, **{path: None}), "missing dataset", given=given)
    for part in PARTS:
        yield refused(
            method, f"no {part}", changed(request, **{f"{path}__{part}": None}), f"missing {part}", given=given
        )


def _datasets() -> Iterator[Row]:
    stored = {"dataset": {"id": DATASET | {"UUID": UUID}, "metadata": KEY_MAP, "partitionKeys": ["region", "day"]}}
    get = {"dataset": DATASET}
    yield succeeds(CREATE_DATASET, "a dataset", CREATE, then=[(Call(GET_DATASET, get), stored)])
    uuid = "5d2f1c80-3c64-4f3c-9a43-0f6d3f0c9a11"
    own = changed(CREATE, dataset__id__UUID=uuid)
    then = [(Call(GET_DATASET, get), {"dataset": {"id": {"UUID": uuid}}})]
    yield succeeds(CREATE_DATASET, "with a UUID of its own", own, then=then)
    bad = changed(CREATE, dataset__id__UUID="x")
    yield refused(CREATE_DATASET, "a UUID that is none", bad, "invalid value for UUID, value:[x]")
    taken = changed(own, dataset__id__name="other")
    given = (Call(CREATE_DATASET, own),)
    yield fails(CREATE_DATASET, "a UUID in use", taken, Code.ALREADY_EXISTS, "value with matching", given=given)
    words = "value with matching already exists ("
    yield fails(CREATE_DATASET, "again", CREATE, Code.ALREADY_EXISTS, words, given=HAVE_DATASET)
    twice = changed(CREATE, dataset__partitionKeys=["a", "b", "a"])
    words = "invalid value for partitionKey, value:[Keys are not unique, occurrence count: map[a:2 b:1]]"
    yield refused(CREATE_DATASET, "a key twice", twice, words)
    yield from _id_errors(CREATE_DATASET, CREATE, "dataset__id")
    yield succeeds(GET_DATASET, "a dataset", get, stored, given=HAVE_DATASET, varies=["dataset.id"])
    words = "missing entity of type Dataset with identifier "
    yield fails(GET_DATASET, "an unknown one", get, Code.NOT_FOUND, words)
    other = changed(get, dataset__UUID=uuid)
    yield fails(GET_DATASET, "another UUID", other, Code.NOT_FOUND, words, given=HAVE_DATASET)
    yield from _id_errors(GET_DATASET, get, "dataset")


def _artifacts() -> Iterator[Row]:
    get = Call(GET_ARTIFACT, {"dataset": DATASET, "artifact_id": "a1"})
    stored = {
        "artifact": {
            "id": "a1",
            "dataset": DATASET | {"UUID": UUID},
            "data": [{"name": "o0", "value": {"scalar": {"primitive": {"integer": "1"}}}}],
            "partitions": PARTITIONS,
            "tags": None,
            "created_at": re.compile("2023-11-14T.*"),
        }
    }
    yield succeeds(CREATE_ARTIFACT, "an artifact", artifact(), given=HAVE_DATASET, then=[(get, stored)])
    words = "missing entity of type Dataset with identifier "
    yield fails(CREATE_ARTIFACT, "an unknown dataset", artifact(), Code.NOT_FOUND, words)
    words = "value with matching already exists ("
    yield fails(CREATE_ARTIFACT, "again", artifact(), Code.ALREADY_EXISTS, words, given=HAVE_ARTIFACT)
    twice = artifact(data=[{"name": "o0", "value": ONE}, {"name": "o0", "value": TEXT}])
    yield fails(CREATE_ARTIFACT, "a name twice", twice, Code.ALREADY_EXISTS, words, given=HAVE_DATASET)
    mismatch = "Partition key mismatch, dataset keys: [region day], artifact Partitions: ["
    foreign = [PARTITIONS[0], {"key": "x", "value": "1"}]
    matches = "Artifact partition assignment does not match dataset partition keys: map[day:false region:true]"
    for title, request, words in (
        ("no artifact", {}, "missing artifact"),
        ("no id", artifact(id=""), "missing artifactID"),
        ("no data", artifact(data=[]), "missing artifactData"),
        ("data without a name", artifact(data=[{"value": ONE}]), "missing artifactData name"),
        ("too few partitions", artifact(partitions=PARTITIONS[:1]), mismatch),
        ("a partition without a key", artifact(partitions=[PARTITIONS[0], {"value": "1"}]), "missing partitionKey[1]"),
        ("a partition without a value", artifact(partitions=[{"key": "region"}, PARTITIONS[1]]), "partitionValue[0]"),
        ("a foreign partition", artifact(partitions=foreign), matches),
    ):
        yield refused(CREATE_ARTIFACT, title, request, words, given=HAVE_DATASET)
    yield from _id_errors(CREATE_ARTIFACT, artifact(), "artifact__dataset", HAVE_DATASET)


def _get_artifact() -> Iterator[Row]:
    by_id, by_tag = {"dataset": DATASET, "artifact_id": "a1"}, {"dataset": DATASET, "tag_name": "t1"}
    tags = [{"name": "t1", "artifact_id": "a1", "dataset": DATASET}]
    whole = {"artifact": {"id": "a1", "tags": tags, "metadata": {"key_map": {"exec-node": "n0"}}}}
    varies = ["artifact.dataset", "artifact.tags", "artifact.created_at"]
    yield succeeds(GET_ARTIFACT, "by id", by_id, whole, given=HAVE_TAG, varies=varies)
    yield succeeds(GET_ARTIFACT, "by tag", by_tag, whole, given=HAVE_TAG, varies=varies)
    anywhere = {"artifact_id": "a1"}
    yield succeeds(GET_ARTIFACT, "by id in any dataset", anywhere, whole, given=HAVE_TAG, varies=varies)
    words = "missing entity of type Artifact with identifier "
    yield fails(GET_ARTIFACT, "an unknown id", by_id, Code.NOT_FOUND, words, given=HAVE_DATASET)
    yield fails(GET_ARTIFACT, "an unknown id anywhere", anywhere, Code.NOT_FOUND, words)
    words = "missing entity of type Tag with identifier "
    yield fails(GET_ARTIFACT, "an unknown tag", by_tag, Code.NOT_FOUND, words, given=HAVE_ARTIFACT)
    yield from _handle_errors(GET_ARTIFACT, {})


def _handle_errors(method: str, fields: dict[str, Any]) -> Iterator[Row]:
    yield refused(method, "neither id nor tag", {"dataset": DATASET, **fields}, "missing one of artifactID/tagName")
    yield refused(method, "an empty id", {"artifact_id": "", **fields}, "missing artifactID")
    yield refused(method, "an empty tag", {"dataset": DATASET, "tag_name": "", **fields}, "missing tagName")
    yield refused(method, "a tag of no dataset", {"tag_name": "t1", **fields}, "missing dataset")
    partial = {"dataset": {"project": "flytesnacks"}, "artifact_id": "a1", **fields}
    yield refused(method, "an id in half a dataset", partial, "missing domain")


def _update() -> Iterator[Row]:
    by_tag = {"dataset": DATASET, "tag_name": "t1", "data": [{"name": "o1", "value": TEXT}]}
    get = Call(GET_ARTIFACT, {"dataset": DATASET, "artifact_id": "a1"})
    replaced = {"data": [{"name": "o1"}], "metadata": {"key_map": {"exec-node": "n0"}}}
    answer = {"artifact_id": "a1"}
    then = [(get, {"artifact": replaced})]
    yield succeeds(UPDATE_ARTIFACT, "by tag", by_tag, answer, given=HAVE_TAG, then=then)
    by_id = changed(by_tag, tag_name=None) | {"artifact_id": "a1", "metadata": KEY_MAP}
    then = [(get, {"artifact": replaced | {"metadata": KEY_MAP}})]
    yield succeeds(UPDATE_ARTIFACT, "by id, with metadata", by_id, answer, given=HAVE_TAG, then=then)
    words = "missing entity of type Tag with identifier "
    yield fails(UPDATE_ARTIFACT, "an unknown tag", by_tag, Code.NOT_FOUND, words, given=HAVE_ARTIFACT)
    words = "missing entity of type Artifact with identifier "
    yield fails(UPDATE_ARTIFACT, "an unknown id", by_id, Code.NOT_FOUND, words, given=HAVE_DATASET)
    without = changed(by_tag, data=None)
    yield refused(UPDATE_ARTIFACT, "no data", without, "missing artifactData", given=HAVE_TAG)
    yield from _handle_errors(UPDATE_ARTIFACT, {"data": by_tag["data"]})


def _lists() -> Iterator[Row]:
    second = Call(CREATE_ARTIFACT, artifact("a2", partitions=[{"key": "region", "value": "us"}, PARTITIONS[1]]))
    given = (*HAVE_TAG, Call(CREATE_DATASET, {"dataset": {"id": OTHER}}), second)
    everything = {"dataset": DATASET}

    def shown(*ids: str, token: str = "") -> dict[str, Any]:
        return {"artifacts": [{"id": id} for id in ids] or None, "next_token": token or str(len(ids))}

    def by(*filters: dict[str, Any]) -> dict[str, Any]:
        return everything | {"filter": {"filters": list(filters)}}

    def partition(key: str, value: str) -> dict[str, Any]:
        return {"partition_filter": {"key_val": {"key": key, "value": value}}}

    eu, day, tagged = partition("region", "eu"), partition("day", "1"), {"tag_filter": {"tag_name": "t1"}}
    for title, request, answer in (
        ("the newest first", everything, shown("a2", "a1")),
        ("the oldest first", everything | {"pagination": {"sortOrder": "ASCENDING"}}, shown("a1", "a2")),
        ("one", everything | {"pagination": {"limit": 1}}, shown("a2", token="1")),
        ("the next", everything | {"pagination": {"limit": 1, "token": "1"}}, shown("a1", token="2")),
        ("more than there are", everything | {"pagination": {"limit": 4294967295}}, shown("a2", "a1")),
        ("beyond", everything | {"pagination": {"token": "7"}}, shown(token="7")),
        ("of a partition", by(eu), shown("a1")),
        ("of two partitions", by(partition("region", "us"), day), shown("a2")),
        ("of no partition", by(partition("day", "9")), shown(token="0")),
        ("of a tag", by(tagged), shown("a1")),
        ("of a tag and a partition", by(tagged, partition("region", "us")), shown(token="0")),
        ("of an unknown tag", by({"tag_filter": {"tag_name": "x"}}), shown(token="0")),
    ):
        yield succeeds(LIST_ARTIFACTS, title, request, answer, given=given)

    def datasets(*names: str, token: str = "") -> dict[str, Any]:
        found = [{"id": {"name": name}} for name in names]
        return {"datasets": found or None, "next_token": token or str(len(names))}

    for title, request, answer in (
        ("the newest first", {}, datasets("other", "flyte_task-double")),
        ("one", {"pagination": {"limit": 1, "sortOrder": "ASCENDING"}}, datasets("flyte_task-double")),
        ("the next", {"pagination": {"limit": 1, "token": "1"}}, datasets("flyte_task-double", token="2")),
        ("by name", {"filter": {"filters": [{"dataset_filter": {"name": "other"}}]}}, datasets("other")),
    ):
        yield succeeds(LIST_DATASETS, title, request, answer, given=given)
    for part in PARTS:
        request = {"filter": {"filters": [{"dataset_filter": {part: "nothing"}}]}}
        yield succeeds(LIST_DATASETS, f"of another {part}", request, datasets(token="0"), given=given)


def _list_errors() -> Iterator[Row]:
    everything = {"dataset": DATASET}
    words = "missing entity of type Dataset with identifier "
    yield fails(LIST_ARTIFACTS, "an unknown dataset", everything, Code.NOT_FOUND, words)
    yield from _id_errors(LIST_ARTIFACTS, everything, "dataset")

    def filtered(filter: dict[str, Any]) -> dict[str, Any]:
        return {"filter": {"filters": [filter]}}

    for title, filter, words in (
        ("by dataset", {"dataset_filter": {"name": "x"}}, "Artifact cannot be filtered by Dataset properties"),
        ("an empty tag", {"tag_filter": {"tag_name": ""}}, "missing TagName"),
        ("an empty key", {"partition_filter": {"key_val": {"value": "x"}}}, "missing PartitionKey"),
        ("an empty value", {"partition_filter": {"key_val": {"key": "x"}}}, "missing PartitionValue"),
        ("by artifact", {"artifact_filter": {"artifact_id": "a1"}}, "no such entity"),
        ("by nothing", {}, "no such entity"),
        (
            "another operator",
            {"tag_filter": {"tag_name": "x"}, "operator": 7},
            "unsupported filter expression operator",
        ),
    ):
        yield refused(LIST_ARTIFACTS, title, everything | filtered(filter), words, given=HAVE_DATASET)
    for title, filter, words in (
        ("by tag", {"tag_filter": {"tag_name": "x"}}, "Dataset cannot be filtered by Tag properties"),
        ("by partition", {"partition_filter": {}}, "Dataset cannot be filtered by Partition properties"),
        ("by artifact", {"artifact_filter": {}}, "Dataset cannot be filtered by Artifact properties"),
        ("by org", {"dataset_filter": {"org": "x"}}, "no such entity"),
        ("an empty name", {"dataset_filter": {"name": ""}}, "missing name"),
    ):
        yield refused(LIST_DATASETS, title, filtered(filter), words)
    for method, request in ((LIST_ARTIFACTS, everything), (LIST_DATASETS, {})):
        for title, options, words in (
            ("a bad token", {"token": "x"}, "Invalid token value: x"),
            ("a negative token", {"token": "-1"}, "Invalid token value: -1"),
            ("a token beyond all rows", {"token": "4294967296"}, "Invalid token value: 4294967296"),
            ("another sort key", {"sortKey": 5}, "Invalid sort key 5"),
            ("another order", {"sortOrder": 5}, "Invalid sort order 5"),
        ):
            yield refused(method, title, {**request, "pagination": options}, words, given=HAVE_DATASET)


def _tags() -> Iterator[Row]:
    get = Call(GET_ARTIFACT, {"dataset": DATASET, "tag_name": "t1"})
    yield succeeds(ADD_TAG, "a tag", tag(), given=HAVE_ARTIFACT, then=[(get, {"artifact": {"id": "a1"}})])
    yield succeeds(ADD_TAG, "a second tag", tag("t2"), given=HAVE_TAG)
    words = "value with matching already exists ("
    yield fails(ADD_TAG, "again", tag(), Code.ALREADY_EXISTS, words, given=HAVE_TAG)
    words = "missing entity of type Artifact with identifier "
    yield fails(ADD_TAG, "an unknown artifact", tag(), Code.NOT_FOUND, words, given=HAVE_DATASET)
    yield fails(ADD_TAG, "an unknown dataset", tag(), Code.NOT_FOUND, "missing entity of type Dataset with identifier ")
    yield refused(ADD_TAG, "no tag", {}, "missing tag")
    yield refused(ADD_TAG, "no tag name", tag(name=""), "missing tagName")
    yield refused(ADD_TAG, "no artifact", tag(artifact_id=""), "missing artifactID")
    yield from _id_errors(ADD_TAG, tag(), "tag__dataset")


def _reservations() -> Iterator[Row]:
    id = {"dataset_id": DATASET, "tag_name": "t1"}
    mine = {"reservation_id": id, "owner_id": "me", "heartbeat_interval": "5s"}
    yours = mine | {"owner_id": "you"}
    held = {"reservation_id": id, "owner_id": "me", "heartbeat_interval": "5s", "expires_at": re.compile(".*Z")}
    given = (Call(RESERVE, mine),)
    yield succeeds(RESERVE, "a free one", mine, {"reservation": held})
    yield succeeds(RESERVE, "one's own", mine, {"reservation": {"owner_id": "me"}}, given=given)
    yield succeeds(RESERVE, "that of another", yours, {"reservation": {"owner_id": "me"}}, given=given)
    long = {"reservation": {"heartbeat_interval": "10s"}}
    yield succeeds(RESERVE, "the longest heartbeat", mine | {"heartbeat_interval": "60s"}, long)
    yield succeeds(RESERVE, "no heartbeat", changed(mine, heartbeat_interval=None), long)
    expired = (Call(RESERVE, mine | {"heartbeat_interval": "0s"}),)
    yield succeeds(RESERVE, "one that has expired", yours, {"reservation": {"owner_id": "you"}}, given=expired)
    words = "invalid value for heartbeat_interval, value:[-5s]"
    yield refused(RESERVE, "a negative heartbeat", mine | {"heartbeat_interval": "-5s"}, words)
    owned = {"reservation_id": id, "owner_id": "me"}
    then = [(Call(RESERVE, yours), {"reservation": {"owner_id": "you"}})]
    yield succeeds(RELEASE, "one's own", owned, given=given, then=then)
    then = [(Call(RESERVE, yours), {"reservation": {"owner_id": "me"}})]
    yield succeeds(RELEASE, "that of another", owned | {"owner_id": "you"}, given=given, then=then)
    yield succeeds(RELEASE, "what nobody holds", owned)
    for method, request in ((RESERVE, mine), (RELEASE, owned)):
        yield refused(method, "nothing to reserve", changed(request, reservation_id=None), "missing reservation_id")
        yield refused(method, "no owner", changed(request, owner_id=None), "missing ownerID")
        yield refused(method, "no tag", changed(request, reservation_id__tag_name=None), "missing tagName")
        yield from _id_errors(method, request, "reservation_id__dataset_id")
    yield edited(succeeds(RESERVE, "an endless heartbeat", mine, long), _endless)


def _endless(request: Any) -> None:
    request.heartbeat_interval.seconds = 2**63 - 1
