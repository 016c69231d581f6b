"""The settings: one table, and how it is read from flags, environment and file."""

from wsrelay.config.loading import load
from wsrelay.config.setting_types import Setting, nearest
from wsrelay.config.settings import Settings, table

__all__ = ["Setting", "Settings", "load", "nearest", "table"]
