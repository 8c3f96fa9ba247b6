"""Attempts that cannot begin on this machine, whoever tries again."""

from __future__ import annotations


class BadTaskFormat(Exception):
    """The template cannot be made into something to run here; the message says what would be needed."""
