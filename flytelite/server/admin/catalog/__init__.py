"""The cache service: datasets, the artifacts in them with their tags, and reservations.

Source: datacatalog/pkg/manager/impl/** of flyte. The engine keeps what tasks compute here (``engine/catalog.py``), and
whoever speaks flyteidl's DataCatalog service sees and adds to the same.
"""
