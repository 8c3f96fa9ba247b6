from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, description_entity_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import InvalidArgument, NotFound

P, D = "flytesnacks", "development"


def identifier(version: str = "1", resource_type: int = identifier_pb2.TASK) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=resource_type, project=P, domain=D, name="n", version=version)


def description(text: str) -> description_entity_pb2.DescriptionEntity:
    return description_entity_pb2.DescriptionEntity(
        short_description=text,
        long_description=description_entity_pb2.Description(value=f"long {text}"),
        source_code=description_entity_pb2.SourceCode(link="https://example.com"),
    )


def listed(descriptions, **fields):
    id = common_pb2.NamedEntityIdentifier(project=P, domain=D, name="n")
    request = {"resource_type": identifier_pb2.TASK, "id": id, "limit": 10} | fields
    return descriptions.list(description_entity_pb2.DescriptionEntityListRequest(**request))


def test_a_description_comes_back_under_its_identifier(descriptions):
    descriptions.put(identifier(), description("short"))
    found = descriptions.get(common_pb2.ObjectGetRequest(id=identifier()))
    assert found.id == identifier()
    assert (found.short_description, found.long_description.value) == ("short", "long short")
    assert found.source_code.link == "https://example.com"


def test_without_a_type_a_task_is_meant(descriptions):
    descriptions.put(identifier(), description("short"))
    assert descriptions.get(common_pb2.ObjectGetRequest(id=identifier(resource_type=0))).short_description == "short"


def test_parts_that_are_empty_are_still_there(descriptions):
    descriptions.put(identifier(), description_entity_pb2.DescriptionEntity())
    found = descriptions.get(common_pb2.ObjectGetRequest(id=identifier()))
    assert found.HasField("long_description")
    assert found.HasField("source_code")


def test_lists_hold_the_versions_of_one_name(descriptions):
    for version in ("1", "2", "3"):
        descriptions.put(identifier(version), description(version))
    descriptions.put(identifier("4", identifier_pb2.WORKFLOW), description("4"))
    versions = [found.id.version for found in listed(descriptions).descriptionEntities]
    assert versions == ["1", "2", "3"]
    newest = common_pb2.Sort(key="version", direction=common_pb2.Sort.DESCENDING)
    page = listed(descriptions, sort_by=newest, limit=2)
    assert ([found.id.version for found in page.descriptionEntities], page.token) == (["3", "2"], "2")
    filtered = listed(descriptions, filters="eq(short_description,2)").descriptionEntities
    assert [found.id.version for found in filtered] == ["2"]
    assert len(listed(descriptions, resource_type=0).descriptionEntities) == 4


def test_requests_that_cannot_be_answered(descriptions):
    with pytest.raises(NotFound, match=r"^entry not found$"):
        descriptions.get(common_pb2.ObjectGetRequest(id=identifier()))
    with pytest.raises(InvalidArgument, match=r"^invalid value for resource_type$"):
        descriptions.get(common_pb2.ObjectGetRequest())
    with pytest.raises(InvalidArgument, match=r"^missing version$"):
        descriptions.get(common_pb2.ObjectGetRequest(id=identifier("")))
    nameless = common_pb2.NamedEntityIdentifier(project=P, domain=D)
    with pytest.raises(InvalidArgument, match=r"^missing name$"):
        listed(descriptions, id=nameless)
    with pytest.raises(InvalidArgument, match=r"^invalid value for limit$"):
        listed(descriptions, limit=0)
