"""The shapes of the JSON answers, for OpenAPI and for those who read them."""

from pydantic import BaseModel, Field


class Liveness(BaseModel):
    """Whether the tick loop turns."""

    alive: bool
    last_turn_seconds: float = Field(description="Seconds since the tick loop last turned.")
    limit_seconds: float = Field(description="More than this is no longer alive.")


class ProjectReadiness(BaseModel):
    """How fresh what is known of one project is."""

    ready: bool
    age_seconds: float | None = Field(description="Since the last good tick; null: none yet.")
    last_success_at: str | None
    result: str | None = Field(description="Of the last tick; null: none has ended yet.")
    error: str = Field(description="What went wrong in the last tick, in one sentence; else empty.")
    limit_seconds: float = Field(description="More than this is no longer ready.")


class Readiness(BaseModel):
    """Whether what is known of every project is fresh."""

    ready: bool
    limit_seconds: float
    projects: dict[str, ProjectReadiness]


class SpendEstimate(BaseModel):
    """USD as decimal text; an estimate of connection and time meters only."""

    low_usd: str
    high_usd: str
    unverified_usd: str


class Project(BaseModel):
    """One project: how its last tick went, and what the last good one saw."""

    name: str
    ready: bool
    result: str | None
    error: str
    last_success_at: str | None
    rooms: dict[str, int] = Field(description="By verdict; empty before the first good tick.")
    orphaned_agents: dict[str, int] = Field(description="By agent name.")
    stranded_rooms: int | None = Field(description="null before the first good tick.")
    spend: dict[str, SpendEstimate] = Field(description="By agent name, since counting began.")
    burn_per_hour: dict[str, SpendEstimate] = Field(description="By agent name.")
    count_meaning: str | None


class SpanBounds(BaseModel):
    """The four times that enclose a span, ISO 8601 in UTC."""

    last_attended_at: str | None
    first_orphaned_at: str
    last_seen_orphaned_at: str
    first_gone_at: str | None


class Agent(BaseModel):
    """One agent connection inside an episode."""

    participant_sid: str
    identity: str
    agent_name: str
    kind: str
    role: str
    joined_at: str | None
    bounds: SpanBounds


class EpisodeDetails(BaseModel):
    """One unbroken orphaned span of one room."""

    id: str
    project: str
    room_name: str = Field(description="As `privacy.room_names` allows.")
    room_sid: str
    room_created_at: str
    empty_timeout_seconds: int
    departure_timeout_seconds: int
    person_seen: bool | None = Field(description="null: what was before is not known.")
    bounds: SpanBounds
    agents: list[Agent]
    last_reachable_at: str | None
    last_probed_at: str | None
    stranded_since: str | None
    close_reason: str | None


class GateWord(BaseModel):
    """What one gate says of a room."""

    gate: str
    passes: bool | None = Field(description="null: not known here.")
    why: str
    waived: bool


class SuspectRoom(BaseModel):
    """One room that is shown as suspect, and never deleted for it."""

    project: str
    room_name: str = Field(description="As `privacy.room_names` allows.")
    room_sid: str
    reason: str
    since: str


class OrphanedRoom(BaseModel):
    """One room whose episode is open."""

    project: str
    verdict: str
    reason: str
    agent_name: str
    age_seconds: float = Field(description="Watched time since the episode began.")
    session_age_seconds: float = Field(description="Since the room was created.")
    num_participants: int
    spend: SpendEstimate
    spend_is_complete: bool = Field(description="False where a meter of its agents is unpriced.")
    policy: str
    due: bool
    due_age_seconds: float | None
    why_due: str
    gates: list[GateWord] = Field(description="Of a room that is due; empty before.")
    episode: EpisodeDetails
