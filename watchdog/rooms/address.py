"""What a server's URL tells."""

from urllib.parse import urlparse


def is_cloud(url: str) -> bool:
    """Whether the SDK treats this URL as LiveKit Cloud: it then fails over between regions."""
    return (urlparse(url).hostname or "").endswith(".livekit.cloud")
