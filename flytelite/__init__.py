"""Flyte's control plane and engine on one machine."""

__version__ = "0.1.0"
