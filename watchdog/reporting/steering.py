"""What the gates say, as far as it can be known beside the daemon: by its database, and by a fresh answer."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.core.cooldown import Cooldowns
from watchdog.core.deletion import AuditMemory, Control
from watchdog.core.gates import RoomCase, Safeguards, Word, words
from watchdog.core.model import Episode, Role, RoomSnapshot, Verdict, VerdictState
from watchdog.core.policy import Ruling
from watchdog.core.records import TickRecord


@dataclass(frozen=True, slots=True)
class Steering:
    """What is configured, said and done about deleting in one project.

    `fresh_for` is for how many seconds after its newest tick a run is taken to be alive.
    """

    safeguards: Safeguards
    control: Control
    memory: AuditMemory
    fresh_for: float

    def waits_for(self, sid: str) -> str:
        """What an open attempt at this room still waits for, or nothing."""
        for intent, _ in self.memory.open_intents:
            if intent.room_sid == sid:
                return f"the deletion asked for at {intent.at:%H:%M:%S} UTC is being verified"
        return ""


def stored_words(
    episode: Episode,
    tick: TickRecord,
    ruling: Ruling | None,
    steering: Steering,
    *,
    age: float,
    now: datetime,
    room: RoomSnapshot | None = None,
    verdict: Verdict | None = None,
) -> tuple[Word, ...]:
    """What every gate says of an open episode; `room` and `verdict`: a fresh answer, where there is one."""
    cooldowns = Cooldowns()
    cooldowns.remember(steering.memory.deletions, now, 0.0)
    left, why = cooldowns.left(episode.room_name, 0.0)
    pause = steering.control.pause
    state = tick.gates.state(
        steering.safeguards,
        entries=steering.control.entries,
        paused=pause.sentence if pause else "",
        locked=(now - tick.at).total_seconds() <= steering.fresh_for,
    )
    simulated: bool | None = True if episode.id in tick.gates.simulated else None
    recording: bool | None = None
    orphaned = bool(episode.present_agents)
    why_orphaned = "only agents were there at the last look" if orphaned else "no agent was there"
    if room is not None and verdict is not None:
        recording = room.active_recording or bool(verdict.of_role(Role.RECORDER))
        simulated = simulated or any(a.participant.simulated for a in verdict.assessments)
        orphaned, why_orphaned = verdict.state is VerdictState.ORPHANED, verdict.reason
    warned_at = steering.memory.warned.get(episode.id)
    case = RoomCase(
        room_name=episode.room_name,
        project=episode.project,
        now=now,
        orphaned=orphaned,
        why_orphaned=why_orphaned,
        ruling=ruling,
        age=age,
        recording=recording,
        simulated=simulated,
        hold_known=room is not None,
        held_until=room.held_until if room else None,
        stranded=episode.stranded_since is not None,
        warned_known=True,
        warned_for=None if warned_at is None else max(0.0, (now - warned_at).total_seconds()),
        pending=steering.waits_for(episode.room_sid),
        cooldown=left,
        why_cooldown=why,
        turn=episode.id in tick.gates.armed,
        arming_known=True,
        arming=tick.gates.arming(episode.id),
    )
    return words(state, case)
