"""Columba, a Matrix homeserver. Start reading at docs/architecture.md."""

from importlib.metadata import version

__version__ = version("columba")
