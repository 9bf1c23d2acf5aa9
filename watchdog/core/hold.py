"""A hold that an application puts on its own room, in the room's metadata (SAFETY D)."""

import json
from datetime import UTC, datetime

FOR_EVER = datetime.max.replace(tzinfo=UTC)
"""Until somebody takes the hold away."""


def held_until(metadata: str, key: str) -> datetime | None:
    """Until when the room is held, or None where it is not.

    Held is: JSON with `key` true, a time with its zone, or anything that cannot be read as one of these or
    as false; and metadata that is no JSON object but has the key's name in it. What is unclear holds.
    """
    # Written as JSON, the key could be hidden in escapes; these need a backslash.
    if key not in metadata and "\\" not in metadata:
        return None
    try:
        document = json.loads(metadata)
    except (ValueError, RecursionError):
        return FOR_EVER if key in metadata else None
    if not isinstance(document, dict):
        return FOR_EVER if key in metadata else None
    value = document.get(key, False)
    if value is False:
        return None
    try:
        until = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return FOR_EVER
    return FOR_EVER if until.tzinfo is None else until
