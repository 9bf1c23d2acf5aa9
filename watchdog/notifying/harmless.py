"""Text that a chat, a mail or a phone shows as it stands: no control characters, mentions, tags or links."""

import re

from watchdog.expose.labels import MAX_LABEL, printable

MAX_LINE = 400
"""Characters of one line."""

# Slack and Discord make mentions out of `<!channel>` and `@everyone`; mail readers and chats make links
# out of `//`, and some channels read HTML or Markdown.
_STEERING = re.compile(r"[<>@`|\[\]]|(?<=/)/")


def harmless(text: str, limit: int = MAX_LABEL) -> str:
    r"""The text on one line of at most `limit` characters, with what would steer written out as `\x40`."""
    return printable(_STEERING.sub(lambda m: f"\\x{ord(m[0]):02x}", text), limit)
