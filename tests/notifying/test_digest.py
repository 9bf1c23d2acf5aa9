"""One message for what comes together, a bounded one, and so many an hour; nothing is lost meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from watchdog.notifying.digest import MOST_TOPICS, NAMED, Digest
from watchdog.notifying.notices import Kind, Level, Notice, Topic

STRANDED = Topic(Kind.STRANDED, "prod", "stranded", "rooms with agents alone", Level.WARNING)
DELETED = Topic(Kind.DELETED, "prod", "deleted", "rooms deleted", Level.INFO)
BLIND = Topic(Kind.BLIND, "eu", "not observed", "project not observed", Level.BAD)


def notices(topic=STRANDED, count=1):
    return [Notice(topic, f"call-{number}") for number in range(count)]


def test_what_comes_together_is_one_message():
    digest = Digest(60, 12)
    digest.add(notices(), 0)
    assert digest.due(0) is None
    digest.add(notices(DELETED, 2), 30)
    assert digest.due(59) is None
    message = digest.due(60)
    assert message is not None
    assert message.title == "LiveKit watchdog, prod: 1 stranded, 2 deleted"
    assert message.body == (
        "prod: rooms with agents alone\n- call-0\n\nprod: rooms deleted: 2\n- call-0\n- call-1"
    )
    assert (message.level, message.count) == (Level.WARNING, 3)
    assert digest.due(9999) is None


def test_the_worst_comes_first_and_gives_the_message_its_level():
    digest = Digest(0, 12)
    digest.add([*notices(), *notices(BLIND)], 0)
    message = digest.due(0)
    assert message is not None
    assert message.level is Level.BAD
    assert message.title == "LiveKit watchdog, 2 projects: not observed, 1 stranded"
    assert message.body.startswith("eu: project not observed")


def test_a_body_is_bounded_and_tells_how_much_more_there_is():
    digest = Digest(0, 12)
    many = [Topic(Kind.BLIND, f"p{n:02d}", "w", "h", Level.BAD) for n in range(MOST_TOPICS + 5)]
    digest.add(notices(STRANDED, 5000), 0)
    digest.add([notice for topic in many for notice in notices(topic)], 0)
    message = digest.due(0)
    assert message is not None
    assert message.body.count("\n") < MOST_TOPICS * (NAMED + 4)
    assert f"And {5 + 5000} more of other kinds." in message.body

    digest.add(notices(STRANDED, 5000), 1)
    message = digest.due(1)
    assert message is not None
    assert message.body.endswith(f"- call-9\n- and {5000 - NAMED} more")
    assert message.title == "LiveKit watchdog, prod: 5000 stranded"


def test_beyond_the_limit_of_an_hour_everything_waits_and_is_told_together():
    digest = Digest(0, 2)
    for now in (0, 10):
        digest.add(notices(), now)
        assert digest.due(now) is not None
    digest.add(notices(), 20)
    assert digest.due(20) is None
    digest.add(notices(DELETED, 3), 1800)
    assert digest.due(1800) is None
    assert digest.due(3599) is None
    message = digest.due(3600)
    assert message is not None
    assert message.count == 4
    assert message.body.endswith(
        "The first of this waited for 59m 40s: 2 messages an hour are allowed."
    )
    assert not digest.is_held_back(3610)


def test_a_message_that_waited_only_for_its_time_does_not_say_so():
    digest = Digest(60, 12)
    digest.add(notices(), 0)
    message = digest.due(999)
    assert message is not None
    assert "waited" not in message.body


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 30), st.sampled_from([STRANDED, DELETED])),
        max_size=60,
    ),
    gather=st.sampled_from([0.0, 60.0]),
    per_hour=st.integers(1, 5),
)
def test_every_notice_is_told_exactly_once_and_no_hour_has_too_many(steps, gather, per_hour):
    digest, now, given_in, told, sent = Digest(gather, per_hour), 0.0, 0, 0, []
    for pause, count, topic in steps:
        now += pause
        digest.add(notices(topic, count), now)
        given_in += count
        if message := digest.due(now):
            told += message.count
            sent.append(now)
    for one in sent:
        assert sum(one <= other < one + 3600 for other in sent) <= per_hour
    left = digest.flush(now)
    assert told + (left.count if left else 0) == given_in
