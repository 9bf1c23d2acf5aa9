"""An independent watchdog for voice agents left alone in LiveKit rooms."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("livekit-agent-watchdog")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
