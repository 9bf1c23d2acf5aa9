"""What webhooks do: they protect at once, sharpen bounds, say where to look; and nothing depends on them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from livekit.protocol.webhook import WebhookEvent

from tests.daemon.harness import KEY, LONG, SECRET, FaultKind, VerdictState, lab, orphan
from watchdog.core.hooks import MAX_WEBHOOK, Taken
from watchdog.core.policy import Policy
from watchdog.daemon import inbox
from watchdog.rooms.webhooks import WebhookReader
from watchdog.simulator.webhooks import Delivery, signed
from watchdog.store.episodes import EpisodeStore

PERFECT = Delivery()
QUICK = Policy("quick", grace=60.0, respect_room_timeouts=False)


async def stranded(w, room="r"):
    """A call that was watched from its beginning, and whose person has hung up."""
    w.call(room)
    await w.ticks(2)
    w.pass_time(4.0)
    w.world.leave(room, "alice")
    return await w.until_orphaned(room)


# ---- bounds ----------------------------------------------------------------------------------------


@pytest.mark.trap("T38")
async def test_a_departure_that_was_told_gives_both_bounds_within_a_second():
    async with lab(webhooks=PERFECT) as w:
        w.call("r")
        await w.ticks(2)
        w.pass_time(4.25)
        left = w.clock.now()
        w.world.leave("r", "alice")
        bounds = orphan(await w.until_orphaned("r"), "r").episode.bounds
        assert left - timedelta(seconds=1) <= bounds.last_attended_at <= left
        assert left <= bounds.first_orphaned_at <= left + timedelta(seconds=1)


async def test_without_webhooks_the_same_departure_has_the_bounds_of_the_looks():
    async with lab() as w:
        bounds = orphan(await stranded(w), "r").episode.bounds
        assert bounds.first_orphaned_at - bounds.last_attended_at > timedelta(seconds=10)


@pytest.mark.rule("A6")
async def test_a6_what_is_told_before_the_first_list_after_a_start_is_dated_and_billed_no_worse():
    """Only a list tells how far the server's clock is off."""
    async with lab(webhooks=PERFECT) as w:
        w.world.skew = timedelta(seconds=90)
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        began = w.clock.now()
        await w.ticks(4)
        w.restart()
        w.pass_time(4.25)
        came = w.clock.now()
        w.world.join("r", "bob")
        await w.ticks(2)
        store = EpisodeStore(w.database)
        (closed,) = await store.episodes_of_room("p", "r")
        assert came <= closed.bounds.first_gone_at <= came + timedelta(seconds=1)
        booked = (await store.load("p")).closed_spend["support"]
        lasted = int((closed.bounds.first_gone_at - began).total_seconds()) + 1
        assert abs(booked.high - lasted * Decimal("0.0005") / 60) < Decimal("1e-6")


@pytest.mark.trap("T50")
async def test_t50_a_late_departure_sharpens_the_bounds_and_makes_no_counter_fall():
    async with lab(webhooks=Delivery(late=1.0, latest=25.0)) as w:
        w.call("r")
        await w.ticks(4)
        w.pass_time(1.0)
        left = w.clock.now()
        w.world.leave("r", "alice")
        report = await w.until_orphaned("r")
        spent = []
        for _ in range(5):
            report = await w.ticks(1)
            spent.append(sum((s.low for s in report.spend.values()), 0))
            high = sum((s.high for s in report.spend.values()), 0)
            assert high >= spent[-1]
        assert spent == sorted(spent)
        bounds = orphan(report, "r").episode.bounds
        assert left - timedelta(seconds=1) <= bounds.last_attended_at <= left
        assert bounds.first_orphaned_at <= left + timedelta(seconds=1)


async def test_a_departure_makes_no_room_due_sooner_than_its_looks_do():
    async with lab(webhooks=PERFECT) as w:
        report = await stranded(w)
        assert orphan(report, "r").age < 1.0


async def test_the_rooms_end_is_the_episodes_end_to_the_second():
    async with lab(webhooks=PERFECT) as w:
        await stranded(w)
        w.pass_time(3.0)
        ended = w.clock.now()
        w.world.close_room("r")
        await w.ticks(4)
        (closed,) = await EpisodeStore(w.database).episodes_of_room("p", "r")
        assert abs(closed.bounds.first_gone_at - ended) <= timedelta(seconds=1)
        # Its agent was told to leave then, so it had been there until then: both bounds are sharp.
        assert ended - timedelta(seconds=1) <= closed.bounds.last_seen_orphaned_at <= ended
        assert closed.agents[0].bounds == replace(
            closed.agents[0].bounds,
            last_seen_orphaned_at=closed.bounds.last_seen_orphaned_at,
            first_gone_at=closed.bounds.first_gone_at,
        )


async def test_an_agent_that_left_is_billed_until_it_was_told():
    async with lab(webhooks=PERFECT) as w:
        w.call("r", agents=2)
        await w.ticks(2)
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        await w.ticks(3)
        w.pass_time(2.0)
        left = w.clock.now()
        w.world.leave("r", "agent-r-1")
        report = await w.ticks(3)
        spans = {s.identity: s for s in orphan(report, "r").episode.agents}
        gone = spans["agent-r-1"].bounds
        assert abs(gone.first_gone_at - left) <= timedelta(seconds=1)
        assert left - timedelta(seconds=1) <= gone.last_seen_orphaned_at <= left
        assert spans["agent-r-0"].bounds.first_gone_at is None


# ---- protection ------------------------------------------------------------------------------------


@pytest.mark.rule("A7")
async def test_a7_a_person_who_joins_closes_the_episode_at_once():
    async with lab(webhooks=PERFECT) as w:
        await stranded(w)
        await w.ticks(2)
        w.pass_time(1.0)
        w.world.join("r", "bob")
        report = await w.tick()
        assert orphan(report, "r") is None
        assert report.rooms[VerdictState.ATTENDED] == 1
        (closed,) = await EpisodeStore(w.database).episodes_of_room("p", "r")
        assert closed.close_reason == "person_returned"


async def test_a_join_is_looked_at_in_the_next_tick():
    async with lab(webhooks=PERFECT) as w:
        await stranded(w)
        w.world.join("r", "bob")
        await w.ticks(1)
        assert "r" in w.asked("ListParticipants")


@pytest.mark.rule("A7")
async def test_a7_a_visit_between_two_looks_is_known_and_the_clock_starts_at_zero():
    async with lab(webhooks=PERFECT) as w:
        first = orphan(await stranded(w), "r").episode.id
        w.enforcing(QUICK)
        await w.ticks(2)
        w.pass_time(2.0)
        w.world.join("r", "bob")
        w.pass_time(2.0)
        w.world.leave("r", "bob")
        report = await w.ticks(1)
        again = orphan(report, "r")
        assert again is not None
        assert again.episode.id != first
        assert again.age < 1.0


@pytest.mark.rule("A7")
async def test_a7_a_visit_is_known_by_its_departure_alone():
    async with lab(webhooks=PERFECT) as w:
        first = orphan(await stranded(w), "r").episode.id
        await w.ticks(2)
        w.sender.delivery.lost = 1.0
        w.world.join("r", "bob")
        w.pass_time(2.0)
        w.sender.delivery.lost = 0.0
        w.world.leave("r", "bob")
        report = await w.ticks(2)
        assert orphan(report, "r").episode.id != first


@pytest.mark.rule("D")
@pytest.mark.trap("T21")
async def test_t21_a_join_webhook_that_comes_after_the_last_look_stops_the_request():
    """The look was true when it was taken; who came a moment later is told by the webhook alone."""
    async with lab(webhooks=PERFECT) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")

        def comes():
            if w.project._enforcer.plan.ready:
                w.world.join("r", "bob")
            else:
                w.when("ListParticipants", comes, room="r", phase="answered")

        w.when("ListParticipants", comes, room="r", phase="answered")
        for _ in range(12):
            await w.ticks(1)
        assert w.deleted() == []
        assert ("outcome", "aborted") in await w.audit("r")


@pytest.mark.rule("D")
async def test_d_a_join_webhook_disarms():
    async with lab(webhooks=PERFECT) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")
        for _ in range(10):
            await w.ticks(1)
            if w.project._book.rooms[w.world.room("r").sid].arming is not None:
                break
        w.world.join("r", "bob")
        assert w.project._book.rooms[w.world.room("r").sid].arming is None


async def test_nobody_is_condemned_by_a_departure_alone():
    """Every event says that everybody left; the looks show the person: no episode."""
    async with lab(webhooks=PERFECT) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(2)
        told = WebhookEvent(event="participant_left", id="EV_x")
        told.created_at = int(w.world.server_time().timestamp())
        room = w.world.room("r")
        told.room.CopyFrom(room.info)
        told.participant.CopyFrom(room.participants["alice"].info(w.world.skew))
        assert w.deliver(told) is Taken.ACCEPTED
        report = await w.ticks(20)
        assert orphan(report, "r") is None
        assert w.deleted() == []


async def test_everything_works_where_every_webhook_is_lost():
    async with lab(webhooks=Delivery(lost=1.0)) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")
        await w.until_deleted("r")


# ---- who was there, and how they left ----------------------------------------------------------------


def facts_of_walk(report, room):
    ruling = orphan(report, room).ruling
    return {step.policy.name: step.fit.value for step in ruling.walk}


@pytest.mark.rule("B")
@pytest.mark.rule("A8")
@pytest.mark.parametrize(
    ("kind", "reason", "fits"),
    [
        ("SIP", "CLIENT_INITIATED", "yes"),
        ("SIP", "CONNECTION_TIMEOUT", "no"),
        ("STANDARD", "CLIENT_INITIATED", "no"),
    ],
)
async def test_a8_complete_webhooks_tell_whether_the_last_caller_hung_up(kind, reason, fits):
    async with lab(webhooks=PERFECT) as w:
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join("r", "caller", kind=kind)
        w.world.join_agent("r", "support")
        await w.ticks(4)
        w.world.leave("r", "caller", reason)
        report = await w.until_orphaned("r")
        assert facts_of_walk(report, "r")["phone"] == fits
        report = await w.ticks(8)
        assert facts_of_walk(report, "r")["phone"] == fits


@pytest.mark.rule("A8")
@pytest.mark.parametrize("spoiled", ["lost", "dropped_by_the_server", "restart"])
async def test_a8_webhooks_with_a_gap_tell_nothing_for_certain(spoiled):
    async with lab(webhooks=PERFECT) as w:
        await w.tick()
        w.sender.delivery.lost = 1.0 if spoiled == "lost" else 0.0
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.sender.delivery.lost = 0.0
        w.world.join("r", "caller", kind="SIP")
        w.world.join_agent("r", "support")
        await w.ticks(4)
        if spoiled == "dropped_by_the_server":
            w.deliver(WebhookEvent(event="egress_updated", id="EV_1", num_dropped=3))
        if spoiled == "restart":
            w.restart(after=60.0)
        await w.ticks(4)
        w.world.leave("r", "caller")
        report = await w.until_orphaned("r")
        report = await w.ticks(8)
        assert facts_of_walk(report, "r")["phone"] == "maybe"


@pytest.mark.rule("A8")
async def test_a8_where_replicas_share_no_rooms_webhooks_are_complete():
    """One that told of a person may have gone to a replica that has not the project."""
    async with lab(webhooks=PERFECT) as w:
        w.project._book.hears_all = False
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join("r", "caller", kind="SIP")
        w.world.join_agent("r", "support")
        await w.ticks(4)
        w.world.leave("r", "caller", "CLIENT_INITIATED")
        report = await w.until_orphaned("r")
        assert facts_of_walk(report, "r")["phone"] == "maybe"


@pytest.mark.rule("A8")
async def test_a8_that_nobody_ever_came_is_known_for_as_long_as_the_webhooks_are_complete():
    async with lab(webhooks=PERFECT) as w:
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        await w.until_orphaned("r")
        report = await w.ticks(10)
        assert orphan(report, "r").episode.person_seen is False
        assert orphan(report, "r").policy == "never-attended"


async def test_what_was_known_of_the_last_caller_is_stored():
    async with lab(webhooks=PERFECT) as w:
        await stranded(w)
        (episode,) = await EpisodeStore(w.database).open_episodes("p")
        assert episode.hung_up is True


# ---- T42: duplicated, late, unordered, forged, oversized ------------------------------------------------


def event_of(w, kind="participant_joined", key="EV_1", identity="bob", **more):
    told = WebhookEvent(event=kind, id=key, **more)
    told.created_at = told.created_at or int(w.world.server_time().timestamp())
    told.room.CopyFrom(w.world.room("r").info)
    told.participant.sid, told.participant.identity = f"PA_{identity}", identity
    return told


@pytest.mark.trap("T42")
async def test_t42_an_event_counts_once_over_a_restart_too():
    async with lab(webhooks=PERFECT) as w:
        w.strand("r")
        await w.until_orphaned("r")
        assert w.deliver(event_of(w)) is Taken.ACCEPTED
        assert w.deliver(event_of(w)) is Taken.DUPLICATE
        await w.until_orphaned("r")
        before = orphan(await w.ticks(1), "r").episode.id
        w.restart(after=30.0)
        await w.tick()
        assert w.deliver(event_of(w)) is Taken.DUPLICATE
        assert orphan(await w.ticks(1), "r").episode.id == before


@pytest.mark.trap("T42")
async def test_t42_a_departure_that_comes_before_its_arrival_leaves_nobody_behind():
    async with lab(webhooks=PERFECT) as w:
        w.call("r")
        await w.ticks(2)
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        now = int(w.world.server_time().timestamp())
        w.deliver(event_of(w, "participant_left", "EV_2", created_at=now))
        w.deliver(event_of(w, "participant_joined", "EV_1", created_at=now - 5))
        report = await w.until_orphaned("r")
        assert report.rooms[VerdictState.ATTENDED] == 0
        report = await w.ticks(3)
        assert orphan(report, "r").age > 30


@pytest.mark.trap("T42")
@pytest.mark.parametrize(
    ("spoil", "taken"),
    [
        (lambda body, token: (body, ""), Taken.FORGED),
        (lambda body, token: (body, "Bearer nonsense"), Taken.FORGED),
        (lambda body, token: (body.replace(b"bob", b"eve"), token), Taken.FORGED),
        (lambda body, token: (body + b" " * MAX_WEBHOOK, token), Taken.OVERSIZED),
        (lambda body, token: (b"\xff\xfe", token), Taken.MALFORMED),
        (lambda body, token: (body, "Bearer " + token), Taken.ACCEPTED),
    ],
)
async def test_t42_only_what_the_server_signed_is_taken_in(spoil, taken):
    async with lab(webhooks=PERFECT) as w:
        w.strand("r")
        await w.until_orphaned("r")
        body, token = signed(event_of(w), KEY, SECRET)
        read = WebhookReader(KEY, SECRET, w.clock).read(*spoil(body, token))
        assert (read if isinstance(read, Taken) else w.project.receive(read)) is taken


@pytest.mark.trap("T42")
async def test_t42_another_key_signs_nothing_here():
    async with lab(webhooks=PERFECT) as w:
        w.strand("r")
        for key, secret in ((KEY, "x" * 40), ("otherkey", SECRET)):
            read = WebhookReader(KEY, SECRET, w.clock).read(*signed(event_of(w), key, secret))
            assert read is Taken.FORGED


@pytest.mark.trap("T42")
@pytest.mark.parametrize(
    ("age", "taken"), [(599, Taken.ACCEPTED), (602, Taken.STALE), (-602, Taken.STALE)]
)
async def test_t42_an_event_outside_the_replay_window_is_not_taken_in(age, taken):
    async with lab(webhooks=PERFECT) as w:
        w.strand("r")
        await w.tick()
        created = int(w.world.server_time().timestamp()) - age
        assert w.deliver(event_of(w, created_at=created)) is taken


@pytest.mark.trap("T42")
async def test_t42_a_full_queue_drops_counts_and_claims_no_completeness(monkeypatch):
    monkeypatch.setattr(inbox, "MOST_WAITING", 2)
    async with lab(webhooks=PERFECT) as w:
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        await w.until_orphaned("r")

        def flood():
            taken = [w.deliver(event_of(w, key=f"EV_{i}", identity=f"p{i}")) for i in range(3)]
            assert taken == [Taken.ACCEPTED, Taken.ACCEPTED, Taken.DROPPED]

        w.when("ListRooms", flood)
        await w.ticks(1)
        assert not w.project._book.hearsay.of(w.world.room("r").sid).complete


@pytest.mark.trap("T42")
async def test_t42_an_event_that_is_not_on_disk_is_taken_in_again_after_a_kill():
    async with lab(webhooks=PERFECT) as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.deliver(event_of(w))
        w.restart()
        await w.tick()
        assert w.deliver(event_of(w)) is Taken.ACCEPTED


async def test_events_cost_one_row_a_tick_however_many_they_are():
    async with lab(webhooks=PERFECT) as w:
        w.call("r")
        await w.ticks(3)
        quiet = await w.ticks(1)
        for i in range(50):
            w.deliver(event_of(w, key=f"EV_{i}", identity=f"p{i}"))
        busy = await w.ticks(1)
        assert busy.rows_written <= quiet.rows_written + 1


# ---- after a deletion --------------------------------------------------------------------------------


@pytest.mark.trap("T22")
@pytest.mark.parametrize(("after", "counted"), [(5.0, 1), (59.0, 1), (61.0, 0)])
async def test_t22_who_joins_the_name_within_a_minute_of_its_deletion_is_counted(after, counted):
    async with lab(webhooks=PERFECT) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")
        await w.until_deleted("r")
        w.pass_time(after)
        w.world.join("r", "alice")
        reports = [await w.ticks(1) for _ in range(3)]
        assert sum(r.joined_after_deletion for r in reports) == counted


@pytest.mark.trap("T22")
async def test_t22_without_webhooks_a_look_counts_who_is_still_there():
    async with lab() as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")
        await w.until_deleted("r")
        w.clock.advance(5.0)
        w.world.join("r", "alice")
        reports = [await w.ticks(1) for _ in range(14)]
        assert sum(r.joined_after_deletion for r in reports) == 1


@pytest.mark.trap("T22")
async def test_t22_who_joined_is_counted_once_though_later_ticks_fail():
    async with lab(webhooks=PERFECT) as w:
        w.enforcing(QUICK)
        w.call("r")
        await w.ticks(6)
        w.world.leave("r", "alice")
        await w.until_deleted("r")
        w.pass_time(5.0)
        w.world.join("r", "alice")
        counted = [(await w.ticks(1)).joined_after_deletion]
        w.fault(FaultKind.ERROR_500, "ListRooms")
        counted += [(await w.ticks(1)).joined_after_deletion for _ in range(3)]
        assert counted == [1, 0, 0, 0]


@pytest.mark.trap("T42")
async def test_t42_a_look_that_fails_leaves_the_join_standing():
    async with lab(webhooks=PERFECT) as w:
        await stranded(w)
        w.fault(FaultKind.ERROR_500, "ListParticipants")
        w.world.join("r", "bob")
        report = await w.ticks(3)
        assert orphan(report, "r") is None
        assert report.rooms[VerdictState.ATTENDED] == 1


async def test_a7_a_visit_that_was_told_is_known_after_an_orderly_end_without_another_tick():
    async with lab(webhooks=PERFECT) as w:
        first = orphan(await stranded(w), "r").episode.id
        w.enforcing(QUICK)
        await w.ticks(2)
        w.pass_time(2.0)
        w.world.join("r", "bob")
        w.pass_time(2.0)
        w.world.leave("r", "bob")
        await w.project.store_told()
        w.restart(after=5.0)
        again = orphan(await w.ticks(2), "r")
        assert again is None or (again.episode.id != first and again.age < 60.0)
        assert w.deleted() == []
        (*_, closed) = [
            e for e in await EpisodeStore(w.database).episodes_of_room("p", "r") if e.id == first
        ]
        assert closed.close_reason == "person_returned"
