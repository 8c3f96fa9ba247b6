"""flytekit's plugin: an image builder that makes a virtual environment of an ImageSpec when it is for flytelite.

flytekit loads it wherever it is imported, tasks included, so it imports nothing of its own before it is needed.
"""

from __future__ import annotations

from flytekit.image_spec.image_spec import ImageBuildEngine, ImageSpec, ImageSpecBuilder

NAME = "flytelite"
PRIORITY = 10
"""Above flytekit's own builders; what is not for flytelite is left to the next one."""


class EnvironmentBuilder(ImageSpecBuilder):  # type: ignore[misc,unused-ignore]
    """Makes environments for the flytelite server that the user's client talks to; leaves all others alone."""

    def should_build(self, image_spec: ImageSpec) -> bool:
        """Whether anything has to be done, which for flytelite is found out by doing it."""
        from flytelite.engine.environments.image_specs import local_server

        if local_server() is not None:
            return True
        return bool(_other().should_build(image_spec))

    def build_image(self, image_spec: ImageSpec) -> str | None:
        """Make the environment unless it is there. The image keeps its name, by which the server finds it."""
        from flytelite.engine.environments.image_specs import build, local_server

        server = local_server()
        if server is None:
            name: str | None = _other().build_image(image_spec)
            return name
        build(image_spec, server)
        return None


def _other() -> ImageSpecBuilder:
    """The builder that flytekit would take without this one."""
    registry = {name: entry for name, entry in ImageBuildEngine.get_registry().items() if name != NAME}
    return registry[max(registry, key=lambda name: registry[name][1])][0]


ImageBuildEngine.register(NAME, EnvironmentBuilder(), priority=PRIORITY)
