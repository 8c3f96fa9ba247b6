"""A connector service on this machine's own interface. Run as ``python serve.py MODULE...`` in the user's environment.

It does what ``pyflyte serve connector`` does, which listens on all interfaces and on a port that has to be free: this
takes any port of 127.0.0.1 and prints it, and nothing else: what connectors print goes to stderr. It ends when its
stdin does, and so when the server dies. Runs in the user's environment, where flytelite may not be installed.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # the directory of this file

import asyncio
import importlib
import os
from concurrent import futures

READY = "listening on port "


def main() -> None:
    """Import the connectors and serve."""
    stdout = os.dup(1)
    os.dup2(2, 1)  # nobody reads the server's pipe any more once the port is known
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path.append(os.getcwd())  # noqa: PTH109
    import flytekit.sensor  # noqa: F401  registers its connector, as the next one does
    from flytekit.extras.webhook import WebhookConnector  # noqa: F401

    for module in sys.argv[1:]:
        importlib.import_module(module)
    asyncio.run(serve(stdout))


async def serve(stdout: int) -> None:
    """Serve until stdin ends; the port is written to that descriptor, which is then closed."""
    import grpc
    from flyteidl.service import agent_pb2_grpc
    from flytekit.extend.backend import connector_service

    server = grpc.aio.server(futures.ThreadPoolExecutor(max_workers=10))
    agent_pb2_grpc.add_AsyncAgentServiceServicer_to_server(connector_service.AsyncConnectorService(), server)
    agent_pb2_grpc.add_SyncAgentServiceServicer_to_server(connector_service.SyncConnectorService(), server)
    agent_pb2_grpc.add_AgentMetadataServiceServicer_to_server(connector_service.ConnectorMetadataService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    os.write(stdout, f"{READY}{port}\n".encode())
    os.close(stdout)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(1.0)


if __name__ == "__main__":
    main()
