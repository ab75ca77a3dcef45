"""The papers' experiments: settings as data, and how they are run."""

from benchmarks.papers.smoke import smoke
from benchmarks.papers.tables import TABLES, Setting, Table

__all__ = ["TABLES", "Setting", "Table", "smoke"]
