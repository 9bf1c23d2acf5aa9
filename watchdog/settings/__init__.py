"""The one reader of environment and files: `load_settings` gives frozen `Settings`."""

from watchdog.settings.durations import format_duration, parse_duration
from watchdog.settings.fields import ListenAddress
from watchdog.settings.load import load_settings, with_policies_of
from watchdog.settings.model import Settings
from watchdog.settings.sections import MatchSettings, PolicySettings, Project
from watchdog.settings.table import Setting, configuration_markdown, describe

__all__ = [
    "ListenAddress",
    "MatchSettings",
    "PolicySettings",
    "Project",
    "Setting",
    "Settings",
    "configuration_markdown",
    "describe",
    "format_duration",
    "load_settings",
    "parse_duration",
    "with_policies_of",
]
