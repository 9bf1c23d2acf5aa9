"""Names made fit to be shown: bounded, private where the operator wants it, harmless everywhere (T45)."""

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable
from typing import Literal

from watchdog.core.names import OTHER, UNNAMED, NameLimit

RoomNamePolicy = Literal["full", "masked", "hashed"]

MAX_LABEL = 128
"""Characters a name may have in a label, a log line or a table."""

HASH_DIGITS = 12
"""48 bits: among a million room names two share a hash with a chance of 1 in 500."""

# Control characters, format characters (bidi overrides, zero width, byte order mark), surrogates,
# and the two separators that some readers take for a line's end.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, limit: int | None = None) -> str:
    r"""The text with everything that could steer a terminal or hide in a line written out as `\x1b`.

    What comes out is valid UTF-8, one line, and at most `limit` characters long; a cut is shown by
    a final `…`.
    """
    # The common case, decided at C speed: `isprintable` is false for every harmful category.
    if text.isprintable() and (limit is None or len(text) <= limit):
        return text
    pieces: list[str] = []
    length = 0
    for index, character in enumerate(text):
        piece = _escaped(character) if unicodedata.category(character) in _HARMFUL else character
        if limit is not None and length + len(piece) > limit - (index + 1 < len(text)):
            pieces.append("…")
            break
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


def _escaped(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


class AgentNames:
    """Agent names as label values: the first `limit` seen keep theirs, later ones are `_other`.

    An agent without a name is `_unnamed`. Names that come from a bounded set already pass through
    unchanged but for what `printable` escapes.
    """

    def __init__(self, limit: int = 50) -> None:
        self._kept = NameLimit(limit)

    def restore(self, names: Iterable[str]) -> None:
        """Keep the names that an earlier run kept, so that its counters go on under them."""
        for name in names:
            self(name)

    def __call__(self, name: str) -> str:
        """The label value for this name."""
        return self._kept(printable(name, MAX_LABEL)) if name.strip() else UNNAMED


class RoomNames:
    """How room names are shown where people other than the operator may read them (`privacy.room_names`).

    - `full`: as they are.
    - `masked`: the first two and last two characters with every digit hidden, as SIP room names can
      hold phone numbers; a name of four characters or fewer is hidden whole.
    - `hashed`: 12 hexadecimal digits of SHA-256, stable over restarts. Without a `key` whoever guesses
      a name can check the guess, and phone numbers are few enough to try them all.
    """

    def __init__(self, policy: RoomNamePolicy = "full", key: bytes = b"") -> None:
        self.policy = policy
        self._key = key

    def private(self, name: str) -> str:
        """The name as the policy allows it, not yet escaped: for JSON, which escapes by itself."""
        if self.policy == "masked":
            return _masked(name)
        if self.policy == "hashed":
            return self._hashed(name)
        return name

    def label(self, name: str) -> str:
        """The name as one harmless line of at most 128 characters: for metrics, logs and terminals."""
        return printable(self.private(name), MAX_LABEL)

    def _hashed(self, name: str) -> str:
        # A lone surrogate cannot be encoded; any stable stand-in does for a hash.
        data = name.encode("utf-8", "surrogatepass")
        digest = (
            hmac.new(self._key, data, hashlib.sha256) if self._key else hashlib.sha256(data)
        ).hexdigest()
        return digest[:HASH_DIGITS]


def _masked(name: str) -> str:
    if len(name) <= 4:
        return "***"
    # `isnumeric` also knows the digits of other scripts, and fractions and circled numbers.
    shown = "".join("*" if c.isnumeric() else c for c in name[:2] + name[-2:])
    return f"{shown[:2]}***{shown[2:]}"


__all__ = [
    "MAX_LABEL",
    "OTHER",
    "UNNAMED",
    "AgentNames",
    "RoomNamePolicy",
    "RoomNames",
    "printable",
]
