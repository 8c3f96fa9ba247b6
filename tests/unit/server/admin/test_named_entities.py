from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import InvalidArgument, NotFound

P, D = "flytesnacks", "development"
ASCENDING = common_pb2.Sort.ASCENDING


def identifier(name: str, resource_type: int = identifier_pb2.WORKFLOW, domain: str = D) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=resource_type, project=P, domain=domain, name=name, version="1")


def listed(named_entities, **fields):
    request = {"resource_type": identifier_pb2.WORKFLOW, "project": P, "domain": D, "limit": 10} | fields
    return named_entities.list(common_pb2.NamedEntityListRequest(**request))


def names(page) -> list[str]:
    return [entity.id.name for entity in page.entities]


def update(named_entities, name: str, resource_type: int = identifier_pb2.WORKFLOW, **metadata: object) -> None:
    named_entities.update(
        common_pb2.NamedEntityUpdateRequest(
            resource_type=resource_type,
            id=common_pb2.NamedEntityIdentifier(project=P, domain=D, name=name),
            metadata=common_pb2.NamedEntityMetadata(**metadata),
        )
    )


def get(named_entities, name: str) -> common_pb2.NamedEntity:
    id = common_pb2.NamedEntityIdentifier(project=P, domain=D, name=name)
    return named_entities.get(common_pb2.NamedEntityGetRequest(resource_type=identifier_pb2.WORKFLOW, id=id))


def test_names_of_one_type_and_domain(named_entities):
    named_entities.register(identifier("b"))
    named_entities.register(identifier("a"))
    named_entities.register(identifier("b"))
    named_entities.register(identifier("t", identifier_pb2.TASK))
    named_entities.register(identifier("s", domain="staging"))
    assert names(listed(named_entities)) == ["b", "a"]
    by_name = common_pb2.Sort(key="name", direction=ASCENDING)
    assert names(listed(named_entities, sort_by=by_name)) == ["a", "b"]
    page = listed(named_entities, limit=1, sort_by=by_name)
    assert (names(page), page.token) == (["a"], "1")
    assert names(listed(named_entities, limit=1, token=page.token, sort_by=by_name)) == ["b"]


def test_generated_names_are_hidden_until_there_is_a_filter(named_entities):
    named_entities.register(identifier("mine"))
    named_entities.register(identifier(".flytegen.task"), common_pb2.SYSTEM_GENERATED)
    assert names(listed(named_entities)) == ["mine"]
    assert names(listed(named_entities, filters="eq(state,0)")) == ["mine"]
    assert names(listed(named_entities, filters="eq(named_entity_metadata.state,2)")) == [".flytegen.task"]
    assert names(listed(named_entities, filters="contains(entities.name,flytegen)")) == [".flytegen.task"]


def test_filters_come_before_paging(named_entities):
    for number in range(4):
        named_entities.register(identifier(f"w{number}"))
        update(named_entities, f"w{number}", state=number % 2)
    page = listed(named_entities, filters="eq(state,1)", limit=2)
    assert (names(page), page.token) == (["w1", "w3"], "2")


def test_archiving_keeps_the_description(named_entities):
    named_entities.register(identifier("a"))
    update(named_entities, "a", description="what it does")
    update(named_entities, "a", state=common_pb2.NAMED_ENTITY_ARCHIVED)
    named_entities.register(identifier("a"))
    found = get(named_entities, "a")
    assert found.metadata.description == "what it does"
    assert found.metadata.state == common_pb2.NAMED_ENTITY_ARCHIVED
    assert found.resource_type == identifier_pb2.WORKFLOW
    update(named_entities, "a")
    assert get(named_entities, "a").metadata.state == common_pb2.NAMED_ENTITY_ACTIVE


def test_names_that_nothing_has(named_entities):
    with pytest.raises(NotFound, match=r"^entry not found$"):
        get(named_entities, "a")
    with pytest.raises(NotFound, match=r"^entry not found$"):
        update(named_entities, "a")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"project": ""}, "missing project"),
        ({"domain": ""}, "missing domain"),
        ({"resource_type": 0}, "invalid value for resource_type"),
        ({"resource_type": 99}, "invalid value for resource_type"),
        ({"limit": 0}, "invalid value for limit"),
        ({"resource_type": identifier_pb2.DATASET}, "Cannot list entity names for resource type: DATASET"),
        ({"sort_by": common_pb2.Sort(key="created_at")}, "invalid sort key 'created_at'"),
        ({"filters": "eq(created_at,x)"}, "'nen.created_at' is invalid filter"),
        ({"token": "x"}, "invalid pagination token x for ListNamedEntities"),
    ],
)
def test_lists_that_cannot_be_made(named_entities, fields, message):
    with pytest.raises(InvalidArgument) as caught:
        listed(named_entities, **fields)
    assert str(caught.value) == message


def test_updates_that_cannot_be_made(named_entities):
    id = common_pb2.NamedEntityIdentifier(project=P, domain=D, name="a")
    with pytest.raises(InvalidArgument, match=r"^missing metadata$"):
        named_entities.update(common_pb2.NamedEntityUpdateRequest(resource_type=identifier_pb2.TASK, id=id))
    with pytest.raises(InvalidArgument, match=r"^Resource \[DATASET\] cannot have its state updated$"):
        update(named_entities, "a", identifier_pb2.DATASET, state=common_pb2.NAMED_ENTITY_ARCHIVED)
    with pytest.raises(InvalidArgument, match=r"^missing name$"):
        get(named_entities, "")


def test_identifiers_ignore_filters_and_archiving(named_entities):
    for name in ("b", ".flytegen.a", "c"):
        named_entities.register(identifier(name))
    update(named_entities, "b", state=common_pb2.NAMED_ENTITY_ARCHIVED)

    def page(**fields):
        request = common_pb2.NamedEntityIdentifierListRequest(**({"project": P, "domain": D, "limit": 2} | fields))
        return named_entities.identifiers(request, identifier_pb2.WORKFLOW, {"name", "created_at"}, "ListIds")

    assert [id.name for id in page(filters="nonsense").entities] == [".flytegen.a", "b"]
    assert page().token == "2"
    assert [id.name for id in page(token="2").entities] == ["c"]
    assert [id.name for id in page(sort_by=common_pb2.Sort(key="name")).entities] == ["c", "b"]
    for fields, message in [
        ({"project": ""}, "missing project"),
        ({"domain": ""}, "missing domain"),
        ({"limit": 0}, "invalid value for limit"),
        ({"token": "-1"}, "invalid pagination token -1 for ListIds"),
        ({"sort_by": common_pb2.Sort(key="x")}, "invalid sort key 'x'"),
        ({"sort_by": common_pb2.Sort(key="created_at")}, "invalid sort key 'created_at': names"),
    ]:
        with pytest.raises(InvalidArgument) as caught:
            page(**fields)
        assert str(caught.value).startswith(message)
