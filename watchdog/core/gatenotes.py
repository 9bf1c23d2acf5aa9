"""What only the running daemon knows of its gates, in a tick's record for the commands beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from watchdog.core.arming import Arming
from watchdog.core.deletion import Mode
from watchdog.core.gates import ProjectState, Safeguards
from watchdog.core.roomlists import ListEntry


@dataclass(frozen=True, slots=True)
class GateNotes:
    """The state of a project's gates after one tick, and how far each room being armed is.

    `armed` maps the ids of episodes to the number of confirming looks and the seconds between the first
    and the last of them. `mode` is the project's; None in records that are older than it.
    """

    good_ticks: int | None = None
    warm_seconds: float | None = None
    since_jump: float | None = None
    unwritten: str | None = None
    stopped: str | None = None
    refused: str | None = None
    sudden: str | None = None
    waiting: int | None = None
    recent: int | None = None
    held_for: float | None = None
    armed: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    simulated: tuple[str, ...] = ()
    mode: str | None = None

    @property
    def known_mode(self) -> Mode | None:
        """The mode, where there is one that this version knows."""
        return Mode(self.mode) if self.mode in set(Mode) else None

    @classmethod
    def of(
        cls, state: ProjectState, armed: Mapping[str, Arming], simulated: tuple[str, ...]
    ) -> "GateNotes":
        """The notes on a project's state; `simulated` are the episodes a simulated participant was in."""
        return cls(
            good_ticks=state.good_ticks,
            warm_seconds=state.warm_seconds,
            since_jump=state.since_jump,
            unwritten=state.unwritten,
            stopped=state.stopped,
            refused=state.refused,
            sudden=state.sudden,
            waiting=state.waiting,
            recent=state.recent,
            held_for=state.held_for,
            armed={key: (arming.looks, arming.span) for key, arming in armed.items()},
            simulated=simulated,
            mode=state.safeguards.mode.value,
        )

    def state(
        self,
        safeguards: Safeguards,
        *,
        entries: tuple[ListEntry, ...] | None,
        paused: str | None,
        locked: bool | None,
    ) -> ProjectState:
        """The project's state again, with what can be known beside the daemon."""
        return ProjectState(
            safeguards=safeguards,
            entries=entries,
            paused=paused,
            good_ticks=self.good_ticks,
            warm_seconds=self.warm_seconds,
            since_jump=self.since_jump,
            locked=locked,
            unwritten=self.unwritten,
            stopped=self.stopped,
            refused=self.refused,
            sudden=self.sudden,
            waiting=self.waiting,
            recent=self.recent,
            held_for=self.held_for,
        )

    def arming(self, episode: str) -> Arming | None:
        """How far a room is, on a clock that begins with its first look; None: it is not being armed."""
        if episode not in self.armed:
            return None
        looks, span = self.armed[episode]
        return replace(Arming(0.0), looks=looks, first=0.0, last=span) if looks else Arming(0.0)

    def as_json(self) -> dict[str, Any]:
        """As JSON values; an endless time is left out."""
        values: dict[str, Any] = {
            "good_ticks": self.good_ticks,
            "warm_seconds": self.warm_seconds,
            "since_jump": self.since_jump,
            "unwritten": self.unwritten,
            "stopped": self.stopped,
            "refused": self.refused,
            "sudden": self.sudden,
            "waiting": self.waiting,
            "recent": self.recent,
            "held_for": self.held_for,
            "armed": {key: list(value) for key, value in self.armed.items()},
            "simulated": list(self.simulated),
            "mode": self.mode,
        }
        if self.since_jump == NEVER:
            values["since_jump"] = "never"
        return values

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "GateNotes":
        """From the values that `as_json` gave; nothing is known from an empty mapping."""
        jump = values.get("since_jump")
        return cls(
            good_ticks=values.get("good_ticks"),
            warm_seconds=values.get("warm_seconds"),
            since_jump=NEVER if jump == "never" else jump,
            unwritten=values.get("unwritten"),
            stopped=values.get("stopped"),
            refused=values.get("refused"),
            sudden=values.get("sudden"),
            waiting=values.get("waiting"),
            recent=values.get("recent"),
            held_for=values.get("held_for"),
            armed={key: (int(n), float(s)) for key, (n, s) in values.get("armed", {}).items()},
            simulated=tuple(values.get("simulated", ())),
            mode=values.get("mode"),
        )


NEVER = float("inf")
