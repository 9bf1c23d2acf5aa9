"""Long work lets others have their turn, and leaves nothing out."""

import asyncio

from watchdog.daemon.turns import AT_ONCE, in_turns


async def test_every_item_comes_and_others_have_their_turn_between_them():
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    seen = [(item, turns) async for item in in_turns(range(3 * AT_ONCE))]
    running.cancel()
    assert [item for item, _ in seen] == list(range(3 * AT_ONCE))
    assert len({turn for _, turn in seen}) == 3


async def test_of_few_items_none_waits():
    waited = asyncio.create_task(asyncio.sleep(0))
    assert [item async for item in in_turns("abc")] == ["a", "b", "c"]
    assert not waited.done()
