"""How requests are refused, on both backends: status, Twirp code, and what our gateway makes of it."""

import time

import aiohttp
import jwt
import pytest
from livekit.api import DeleteRoomRequest, ListParticipantsRequest, LiveKitAPI, ServerError

from tests.contract.backends import Backend
from tests.contract.conftest import gateway_to
from watchdog.core.errors import CredentialsRejected, PermissionMissing, WrongEndpoint
from watchdog.rooms.gateway import translate

LIST = "/twirp/livekit.RoomService/ListRooms"
PARTICIPANTS = "/twirp/livekit.RoomService/ListParticipants"
DELETE = "/twirp/livekit.RoomService/DeleteRoom"
DISPATCH = "/twirp/livekit.AgentDispatchService/ListDispatch"


def bearer(
    backend: Backend,
    *,
    key: str = "",
    secret: str = "",
    expires_in: float = 600,
    valid_in: float = 0,
    **video: object,
) -> str:
    """An Authorization header; times in seconds from now."""
    now = time.time()
    claims = {
        "iss": key or backend.key,
        "nbf": int(now + valid_in),
        "exp": int(now + expires_in),
        "video": video,
    }
    return "Bearer " + jwt.encode(claims, secret or backend.secret, algorithm="HS256")


async def post(
    backend: Backend,
    path: str,
    authorization: str | None,
    body: bytes = b"",
    content_type: str = "application/protobuf",
) -> tuple[int, str]:
    """The status and the Twirp code, "unknown" where the SDK would say so."""
    headers = {"Content-Type": content_type}
    if authorization is not None:
        headers["Authorization"] = authorization
    async with (
        aiohttp.ClientSession() as session,
        session.post(backend.url + path, data=body, headers=headers) as answer,
    ):
        assert "Date" in answer.headers
        is_twirp = answer.status != 200 and answer.content_type == "application/json"
        return answer.status, (await answer.json())["code"] if is_twirp else "unknown"


@pytest.mark.trap("T32")
@pytest.mark.parametrize(
    "token",
    [
        {"key": "nobody"},
        {"secret": "another-secret-another-secret-another"},
        {"expires_in": -120},
        {"valid_in": 120},
    ],
    ids=["unknown key", "wrong secret", "expired", "not yet valid"],
)
async def test_t32_a_bad_token_is_401_without_a_twirp_code(backend: Backend, token: dict):
    answer = await post(backend, LIST, bearer(backend, roomList=True, **token))

    assert answer == (401, "unknown")


@pytest.mark.parametrize("header", ["abc", "Bearer abc", "Basic abc"])
async def test_what_is_no_token_is_401_without_a_twirp_code(backend: Backend, header: str):
    assert await post(backend, LIST, header) == (401, "unknown")


@pytest.mark.parametrize("token", [{"expires_in": -30}, {"valid_in": 30}], ids=["late", "early"])
async def test_clocks_may_differ_by_a_minute(backend: Backend, token: dict):
    status, _ = await post(backend, LIST, bearer(backend, roomList=True, **token))

    assert status == 200


@pytest.mark.parametrize(
    ("path", "video"),
    [
        (LIST, {}),
        (LIST, {"roomAdmin": True, "room": "r"}),
        (PARTICIPANTS, {"roomList": True}),
        (PARTICIPANTS, {"roomAdmin": True, "room": "another"}),
        (PARTICIPANTS, {"roomAdmin": True}),
        (DELETE, {"roomAdmin": True, "room": "r"}),
        (DISPATCH, {"roomAdmin": True, "room": "another"}),
    ],
)
async def test_a_token_without_the_grant_is_401_unauthenticated(
    backend: Backend, path: str, video: dict
):
    body = ListParticipantsRequest(room="r").SerializeToString() if path != LIST else b""

    assert await post(backend, path, bearer(backend, **video), body) == (401, "unauthenticated")


async def test_no_token_at_all_is_401_unauthenticated(backend: Backend):
    assert await post(backend, LIST, None) == (401, "unauthenticated")


async def test_the_least_grants_are_enough(backend: Backend, room: str):
    admin = bearer(backend, roomAdmin=True, room=room)
    body = ListParticipantsRequest(room=room).SerializeToString()
    deletion = DeleteRoomRequest(room=room).SerializeToString()

    assert (await post(backend, LIST, bearer(backend, roomList=True)))[0] == 200
    assert (await post(backend, PARTICIPANTS, admin, body))[0] == 200
    assert await post(backend, DELETE, bearer(backend, roomCreate=True), deletion) == (
        404,
        "not_found",
    )


@pytest.mark.trap("T26")
async def test_t26_an_unknown_method_is_404_but_never_not_found(backend: Backend):
    path = "/twirp/livekit.RoomService/NoSuchMethod"

    assert await post(backend, path, bearer(backend, roomList=True)) == (404, "bad_route")
    assert await post(backend, path, None) == (404, "bad_route")


@pytest.mark.trap("T26")
@pytest.mark.parametrize(
    "path", ["/twirp/livekit.NoSuchService/ListRooms", "/livekit.RoomService/ListRooms", "/nowhere"]
)
async def test_t26_a_path_nobody_serves_is_404_without_a_twirp_code(backend: Backend, path: str):
    assert await post(backend, path, bearer(backend, roomList=True)) == (404, "unknown")


async def test_a_bad_token_comes_before_a_bad_route(backend: Backend):
    path = "/twirp/livekit.RoomService/NoSuchMethod"

    assert await post(backend, path, "Bearer abc") == (401, "unknown")


async def test_another_content_type_is_a_bad_route(backend: Backend):
    header = bearer(backend, roomList=True)

    assert await post(backend, LIST, header, content_type="text/plain") == (404, "bad_route")


async def test_a_malformed_body_is_400_even_without_a_token(backend: Backend):
    assert await post(backend, PARTICIPANTS, None, b"\xff\xff\xff") == (400, "malformed")


async def test_the_sdk_says_unknown_for_a_wrong_secret_and_the_gateway_credentials_rejected(
    backend: Backend,
):
    wrong = "wrong" * 8
    async with LiveKitAPI(backend.url, backend.key, wrong) as api:
        with pytest.raises(ServerError) as refused:
            await api.agent_dispatch.list_dispatch("anywhere")
    assert (refused.value.status, refused.value.code) == (401, "unknown")

    gateway = gateway_to(backend, wrong)
    with pytest.raises(CredentialsRejected) as ours:
        await gateway.list_rooms()
    await gateway.aclose()
    assert wrong not in str(ours.value)


async def test_the_gateway_tells_a_missing_grant_from_a_bad_key(backend: Backend):
    token = bearer(backend, roomList=True).removeprefix("Bearer ")
    async with LiveKitAPI.with_token(token, url=backend.url) as api:
        with pytest.raises(ServerError) as refused:
            await api.room.list_participants(ListParticipantsRequest(room="anywhere"))

    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
    ours = translate("ListParticipants", refused.value, 5)
    assert isinstance(ours, PermissionMissing)


async def test_the_gateway_calls_a_url_with_a_wrong_path_a_wrong_endpoint(backend: Backend):
    async with LiveKitAPI(f"{backend.url}/somewhere", backend.key, backend.secret) as api:
        with pytest.raises(ServerError) as refused:
            await api.agent_dispatch.list_dispatch("anywhere")

    assert isinstance(translate("ListDispatch", refused.value, 5), WrongEndpoint)
