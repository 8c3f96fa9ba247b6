"""Connectors (agents): tasks that run in some service, which a connector service talks to over gRPC.

Rules: ``flyteplugins/go/tasks/plugins/webapi/connector`` and ``.../pluginmachinery/internal/webapi``.
"""
