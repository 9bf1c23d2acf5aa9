"""Tokens that are signed and checked once for each grant.

The SDK signs one for every request and the simulator checks it. That is tested elsewhere and would take
much of the proof's time: here only what is asked for and answered matters.
"""

from functools import cache

from livekit.api import AccessToken, VideoGrants

from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.service import RoomServiceSimulator

SIGNED: dict[tuple[str, str, str], dict[str, str]] = {}
"""Headers by key, secret and grants."""


def sign_once(api: SimulatorApi) -> SimulatorApi:
    """Have its services send, for the same grants, the header of the first time."""
    for service in (api.room, api.deleting, api.agent_dispatch, api.ending):

        def header(grants: VideoGrants, service=service) -> dict[str, str]:
            wanted = (service.api_key, service.api_secret, repr(grants))
            if wanted not in SIGNED:
                token = AccessToken(service.api_key, service.api_secret).with_grants(grants)
                SIGNED[wanted] = {"authorization": f"Bearer {token.to_jwt()}"}
            return SIGNED[wanted]

        service._auth_header = header
    return api


def check_once(server: RoomServiceSimulator) -> None:
    """Have it remember the tokens that it has found good."""
    server._verify = cache(server._verify)
