"""The proof of SAFETY G on fixed seeds, and that it would find what it is there to find."""

from dataclasses import replace

import pytest

from tests.proof import run
from tests.proof.run import DENSE, LEAST_IN_TIME, Crowd, Tally, prove, prove_attended
from tests.proof.witness import HIDDEN_FROM_BOTH
from watchdog.core.arming import Arming
from watchdog.core.deletion import AuditKind, Outcome
from watchdog.core.errors import RoomServiceError
from watchdog.core.model import RoomListing, Verdict, VerdictState
from watchdog.core.rooms import RoomBook
from watchdog.daemon import enforce, recheck
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.faults import Fault, FaultKind

LIVES = 20_000
PARTS = 4


@pytest.mark.timeout(600)
@pytest.mark.rule("G")
@pytest.mark.parametrize("part", range(PARTS))
async def test_g_no_invariant_is_broken_in_twenty_thousand_room_lives(part):
    tally, seed = Tally(), 1000 * (part + 1)
    while tally.rooms < LIVES / PARTS:
        tally.add(await prove(seed, DENSE))
        seed += 1
    print("\n".join(tally.lines()))
    assert tally.violations == []
    assert tally.deleted > 100
    assert tally.kills > 0
    assert tally.due_and_gone >= 0.95 * tally.due
    assert tally.in_time >= LEAST_IN_TIME
    assert tally.webhooks["accepted"] > 1000


@pytest.mark.rule("G")
@pytest.mark.parametrize("rate", [0.3, 1.0])
@pytest.mark.parametrize("kind", list(FaultKind))
async def test_g_no_single_fault_deletes_a_room_that_somebody_is_always_in(kind, rate):
    # What hides a person from every answer is no single answer's fault: see the next test.
    method = "ListParticipants" if kind is FaultKind.HIDDEN_PERSON else "*"
    tally = await prove_attended(7, Fault(kind, method, rate=rate))
    assert tally.violations == []
    assert tally.requests == 0


@pytest.mark.rule("G")
async def test_g_persons_whom_the_count_and_the_list_hide_alike_are_counted_apart():
    tally = await prove_attended(7, Fault(FaultKind.HIDDEN_PERSON))
    assert tally.exceptions[HIDDEN_FROM_BOTH] >= tally.requests > 0
    assert all("(3)" in violation for violation in tally.violations)


# ---- what it would find ----------------------------------------------------------------------------


def no_recheck(patch):
    async def at_once(service, clock, rules, case):
        try:
            await service.delete(case.room.name, within=1.0)
        except RoomServiceError as error:
            return recheck.Finding(Outcome.FAILED, str(error))
        return recheck.Finding(Outcome.DELETED, "at once", to_be_verified=True)

    patch.setattr(enforce, "delete_if_still_alone", at_once)


def no_count_check(patch):
    patch.setattr(RoomBook, "explained_by", lambda *_: 10**9)


def no_sid_check(patch):
    class AnySid(str):
        __slots__ = ()

        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

        __hash__ = str.__hash__

    inner = recheck._look_again

    async def any_sid(service, clock, rules, case):
        room = replace(case.room, sid=AnySid(case.room.sid))
        return await inner(service, clock, rules, replace(case, room=room))

    patch.setattr(recheck, "_look_again", any_sid)


def no_arming(patch):
    patch.setattr(Arming, "is_armed", lambda *_: True)


def empty_taken_as_orphaned(patch):
    from watchdog.core import rooms

    inner = rooms.classify

    def classify(participants, rules):
        verdict = inner(participants, rules)
        if verdict.state is VerdictState.EMPTY:
            return Verdict(VerdictState.ORPHANED, "nobody", verdict.assessments)
        return verdict

    patch.setattr(rooms, "classify", classify)
    patch.setattr(recheck, "classify", classify)


def failed_list_taken_as_empty(patch):
    inner = LiveKitGateway.list_rooms

    async def list_rooms(self, known=None, names=(), **more):
        asked = self._clock.now()
        try:
            return await inner(self, known, names, **more)
        except RoomServiceError:
            return RoomListing(asked, self._clock.now(), {})

    patch.setattr(LiveKitGateway, "list_rooms", list_rooms)


def sdk_retries(patch):
    inner = SimulatorApi.__init__

    def repeating(self, simulator, key, secret):
        inner(self, simulator, key, secret, url="https://p.livekit.cloud", deleting_failover=True)
        self.deleting._client._failover_backoff = 0.0

    patch.setattr(SimulatorApi, "__init__", repeating)


def intent_after_the_call(patch):
    inner = run.WitnessedAudit.append
    late = []

    async def append(self, entries):
        now = [e for e in entries if e.kind is not AuditKind.INTENT]
        late.extend(e for e in entries if e.kind is AuditKind.INTENT)
        if now:
            await inner(self, [*late, *now])
            late.clear()

    patch.setattr(run.WitnessedAudit, "append", append)


def delete_delayed(patch):
    inner = LiveKitGateway.delete

    async def delete(self, room_name, *, within):
        await self._clock.sleep(1.5)
        await inner(self, room_name, within=within)

    patch.setattr(LiveKitGateway, "delete", delete)


MUTATIONS = [
    (no_recheck, "(1)", ()),
    (no_count_check, "(1)", ((FaultKind.PARTIAL_LIST, "ListParticipants"),)),
    (no_sid_check, "(6)", ()),
    (no_arming, "(6)", ()),
    (empty_taken_as_orphaned, "(5)", ()),
    (failed_list_taken_as_empty, "(5)", ((FaultKind.ERROR_500, "ListRooms"),)),
    (sdk_retries, "(6)", ((FaultKind.ERROR_503, "DeleteRoom"),)),
    (intent_after_the_call, "(6)", ()),
    (delete_delayed, "(1)", ()),
]


@pytest.mark.rule("G")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mutate", "invariant", "bad_luck"),
    MUTATIONS,
    ids=[mutate.__name__ for mutate, *_ in MUTATIONS],
)
async def test_g_a_mutation_is_caught_by_the_invariant_that_it_breaks(
    mutate, invariant, bad_luck, monkeypatch
):
    mutate(monkeypatch)
    found: list[str] = []
    for seed in range(40):
        tally = await prove(seed, Crowd(bad_luck=bad_luck))
        found += tally.violations
        if any(invariant in violation for violation in found):
            return
    pytest.fail(f"not caught in 40 runs: {found[:3]}")
