"""`python -m watchdog.settings` prints docs/configuration.md."""

import sys

from watchdog.settings.table import configuration_markdown

sys.stdout.write(configuration_markdown())
