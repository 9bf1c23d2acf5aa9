"""Text that others chose, in a cell of a CSV file that somebody may open in a spreadsheet."""

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes what begins so for a formula, in quotes or not."""
_BREAKS = re.compile(r"[\r\n\x00]")
"""Not every reader keeps to the quotes around these."""


def harmless(text: str) -> str:
    """The text as one line of text to a spreadsheet: an apostrophe goes before what would be a formula."""
    guarded = f"'{text}" if text.startswith(_FORMULA) else text
    return _BREAKS.sub(" ", guarded)
