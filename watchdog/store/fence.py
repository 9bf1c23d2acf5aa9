"""What a transaction that writes for a project asks first: whether this process still may."""

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection


class Fence(Protocol):
    """What keeps a process that was overtaken from writing."""

    async def check(self, connection: AsyncConnection, project: str) -> None:
        """Raise StoreError unless this process may write; nobody else may until the transaction ends."""
        ...


class Unfenced:
    """Whoever has the lock of a SQLite file needs no other."""

    async def check(self, connection: AsyncConnection, project: str) -> None:
        """Nothing to ask."""


UNFENCED = Unfenced()
