"""The part of the SDK that the gateway uses, as small Protocols; the simulator offers the same in process."""

from typing import Any, Protocol

from livekit.protocol.room import (
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    SendDataRequest,
    SendDataResponse,
)


class RoomCalls(Protocol):
    """The part of the SDK's RoomService that is used."""

    async def list_rooms(self, list: ListRoomsRequest, /) -> ListRoomsResponse:  # noqa: A002
        """List the rooms."""
        ...

    async def list_participants(
        self,
        list: ListParticipantsRequest,  # noqa: A002
        /,
    ) -> ListParticipantsResponse:
        """List one room's participants."""
        ...


class DeleteCalls(Protocol):
    """The part of the SDK's RoomService that a deletion, and the warning before it, use."""

    async def delete_room(self, delete: DeleteRoomRequest, /) -> DeleteRoomResponse:
        """Delete a room by its name."""
        ...

    async def send_data(self, send: SendDataRequest, /) -> SendDataResponse:
        """Send a data message to participants of a room."""
        ...


class EndCalls(Protocol):
    """The part of the SDK's AgentDispatchService that ends an agent's work."""

    async def delete_dispatch(self, dispatch_id: str, room_name: str, /) -> Any:
        """Delete one dispatch: its agents leave."""
        ...


class DispatchCalls(Protocol):
    """The part of the SDK's AgentDispatchService that is used."""

    async def list_dispatch(self, room_name: str, /) -> list[Any]:
        """List one room's agent dispatches."""
        ...


class Api(Protocol):
    """What is used of `livekit.api.LiveKitAPI`; the simulator offers the same in process."""

    @property
    def room(self) -> RoomCalls:
        """The Room Service."""
        ...

    @property
    def agent_dispatch(self) -> DispatchCalls:
        """The Agent Dispatch Service."""
        ...

    @property
    def deleting(self) -> DeleteCalls:
        """The Room Service through a client that sends each request once (SAFETY D)."""
        ...

    @property
    def ending(self) -> EndCalls:
        """The Agent Dispatch Service through such a client."""
        ...

    async def aclose(self) -> None:
        """Release what it holds."""
        ...
