"""The settings: one table, and how it is read from flags, environment and file."""

from wsrelay.config.environment import foreign_variables
from wsrelay.config.loading import load
from wsrelay.config.setting import Setting
from wsrelay.config.settings import CHANNELS_GROUP, Settings, setting_table
from wsrelay.config.suggestions import suggestion

__all__ = ["CHANNELS_GROUP", "Setting", "Settings", "foreign_variables", "load", "setting_table", "suggestion"]
