"""Who is a person, who an agent, and what a room therefore is (A2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.classify import DetectionRules, assess, classify
from watchdog.core.model import ParticipantSnapshot as P
from watchdog.core.model import Role, VerdictState

AGENT = P("PA_a", "agent-AJ_1", kind="AGENT", agent_grant=True)
PERSON = P("PA_p", "alice")


def test_agents_without_a_person_are_orphaned():
    verdict = classify([AGENT])
    assert verdict.state is VerdictState.ORPHANED
    assert verdict.reason == "1 agent, no person"


def test_an_agent_with_a_person_is_attended():
    verdict = classify([AGENT, PERSON])
    assert verdict.state is VerdictState.ATTENDED
    assert verdict.reason == "1 person (kind STANDARD)"


@pytest.mark.trap("T05")
@pytest.mark.rule("A2")
def test_t05_a2_an_empty_answer_is_never_orphaned():
    assert classify([]).state is VerdictState.EMPTY


@pytest.mark.trap("T08")
def test_t08_a_standard_participant_with_the_agent_grant_is_an_agent():
    found = assess(P("PA", "pipecat", agent_grant=True))
    assert found.role is Role.AGENT
    assert found.why == "kind STANDARD with the agent grant"
    assert not found.counted


@pytest.mark.trap("T09")
def test_t09_a_standard_participant_without_it_is_a_person_unless_a_rule_says_otherwise():
    bot = P("PA", "bot-7")
    assert assess(bot).role is Role.PERSON
    found = assess(bot, DetectionRules(agent_identities=("bot-*",)))
    assert found.role is Role.AGENT
    assert found.counted, "every server counts a participant that only our rule calls an agent"
    assert "bot-*" in found.why


@pytest.mark.trap("T09")
def test_t09_the_identity_prefix_agent_alone_makes_nobody_an_agent():
    assert assess(P("PA", "agent-AJ_x")).role is Role.PERSON


@pytest.mark.trap("T10")
def test_t10_an_avatar_is_no_person_and_not_a_second_agent():
    avatar = P("PA_v", "tavus", kind="AGENT", on_behalf_of="agent-AJ_1")
    verdict = classify([AGENT, avatar])
    assert verdict.state is VerdictState.ORPHANED
    assert [a.role for a in verdict.assessments] == [Role.AGENT, Role.AVATAR]
    assert verdict.reason == "1 agent and 1 avatar, no person"


@pytest.mark.trap("T11")
@given(st.text(max_size=20).filter(lambda k: k not in {"AGENT", "EGRESS"}))
def test_t11_every_kind_that_is_not_known_is_a_person(kind):
    assert assess(P("PA", "x", kind=kind)).role is Role.PERSON


@pytest.mark.trap("T12")
@pytest.mark.parametrize("kind", ["SIP", "INGRESS", "CONNECTOR", "BRIDGE"])
def test_t12_legs_are_persons_by_default_and_can_be_configured_otherwise(kind):
    leg = P("PA", "leg", kind=kind)
    assert classify([AGENT, leg]).state is VerdictState.ATTENDED
    rules = DetectionRules(not_persons=frozenset({kind}))
    assert classify([AGENT, leg], rules).state is VerdictState.ORPHANED


@pytest.mark.trap("T13")
def test_t13_agents_and_a_recording_are_orphaned():
    verdict = classify([AGENT, P("PA_e", "EG_1", kind="EGRESS")])
    assert verdict.state is VerdictState.ORPHANED
    assert verdict.reason == "1 agent, no person, being recorded"


@pytest.mark.trap("T13")
def test_t13_a_recording_alone_is_empty():
    assert classify([P("PA_e", "EG_1", kind="EGRESS")]).state is VerdictState.EMPTY


@pytest.mark.trap("T14")
def test_t14_a_hidden_supervisor_is_a_person():
    verdict = classify([AGENT, P("PA_s", "boss", hidden=True)])
    assert verdict.state is VerdictState.ATTENDED
    assert "hidden" in verdict.reason


@pytest.mark.trap("T15")
@pytest.mark.parametrize("state", ["JOINING", "JOINED", "DISCONNECTED", "STATE_9"])
def test_t15_a_person_in_any_state_is_a_person(state):
    verdict = classify([AGENT, P("PA_p", "bob", state=state)])
    assert verdict.state is VerdictState.ATTENDED
    assert state in verdict.reason


def test_an_agent_that_is_already_disconnected_holds_nothing():
    gone = P("PA_a", "agent-1", kind="AGENT", state="DISCONNECTED")
    assert classify([gone]).state is VerdictState.EMPTY


kinds = st.sampled_from(["STANDARD", "INGRESS", "EGRESS", "SIP", "AGENT", "CONNECTOR", "KIND_12"])
people = st.builds(
    P,
    sid=st.uuids().map(str),
    identity=st.text(max_size=8),
    kind=kinds,
    state=st.sampled_from(["JOINING", "ACTIVE", "DISCONNECTED"]),
    hidden=st.booleans(),
    agent_grant=st.booleans(),
    recorder_grant=st.booleans(),
    on_behalf_of=st.sampled_from(["", "someone"]),
)


@pytest.mark.rule("A2")
@given(st.lists(people, max_size=6))
def test_a2_orphaned_means_at_least_one_agent_and_no_person(participants):
    verdict = classify(participants)
    persons = verdict.of_role(Role.PERSON)
    agents = verdict.of_role(Role.AGENT, Role.AVATAR)
    assert (verdict.state is VerdictState.ORPHANED) == (bool(agents) and not persons)
    assert (verdict.state is VerdictState.ATTENDED) == bool(persons)
    assert verdict.reason
    for a in persons:
        assert a.participant.kind not in {"AGENT", "EGRESS"}
        assert not a.participant.agent_grant
