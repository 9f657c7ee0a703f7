from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.realtime.delivery import MAX_REPLAY, SNAPSHOT_SIZE, Delivery, ResumePoint, plan_resume

READ_LIMIT = 3


@dataclass(frozen=True)
class Row:
    seq: int


@dataclass
class Conversation:
    """The truth: what is committed. Hints about it travel over a lossy channel."""

    head: int = 0

    def read(self, after_seq: int) -> list[Row]:
        return [Row(seq) for seq in range(after_seq + 1, self.head + 1)][:READ_LIMIT]


class Client:
    """A browser: its copy outlives its sockets, frames in flight do not."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.copy: list[int] = []
        self.delivery: Delivery | None = None
        self.in_flight: list[int] = []

    def connect(self) -> None:
        self.in_flight = []
        resume = plan_resume(
            last_seq=len(self.copy),
            epoch="e" if self.copy else None,
            head_seq=self.conversation.head,
            head_epoch="e",
        )
        assert not resume.is_snapshot
        self.delivery = Delivery(last_seq=resume.after_seq, head_seq=self.conversation.head)

    def drop(self) -> None:
        self.delivery = None
        self.in_flight = []

    def deliver(self, commits_during_read: int = 0) -> None:
        while self.delivery and self.delivery.is_behind:
            rows = self.conversation.read(self.delivery.begin_read())
            if commits_during_read:  # committed after the read's snapshot, hinted before the merge
                self.conversation.head += commits_during_read
                self.delivery.note_head(self.conversation.head)
                commits_during_read = 0
            fresh = self.delivery.merge(rows, is_full=len(rows) == READ_LIMIT)
            self.in_flight += [row.seq for row in fresh]
        if self.delivery:  # a hint that came during a read was not forgotten
            assert self.delivery.last_seq == self.delivery.head_seq

    def offer(self, seq: int) -> None:
        if self.delivery and (row := self.delivery.offer(Row(seq))):
            self.in_flight.append(row.seq)

    def receive(self, frames: int) -> None:
        for seq in self.in_flight[:frames]:
            if seq > len(self.copy):
                self.copy.append(seq)
        self.in_flight = self.in_flight[frames:]


steps = st.lists(
    st.tuples(
        st.sampled_from(["commit", "hint", "offer", "connect", "drop", "deliver", "race", "receive"]),
        st.integers(0, 12),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_any_interleaving_delivers_in_order_and_without_gaps(script):
    conversation = Conversation()
    client = Client(conversation)
    client.connect()
    for step, number in script:
        _take_step(conversation, client, step, number)
        assert client.copy == list(range(1, len(client.copy) + 1))

    if client.delivery is None:
        client.connect()
    client.delivery.note_head(conversation.head)  # the heartbeat
    client.deliver()
    client.receive(len(client.in_flight))
    assert client.copy == list(range(1, conversation.head + 1))


def _take_step(conversation: Conversation, client: Client, step: str, number: int) -> None:
    seq = min(number, conversation.head)
    if step == "commit":
        conversation.head += 1
    elif step == "hint" and client.delivery and seq:
        client.delivery.note_head(seq)  # late, doubled or out of order; the ones in between were lost
    elif step == "offer" and seq:
        client.offer(seq)
    elif step == "race":
        client.deliver(commits_during_read=number % 3)
    elif step == "receive":
        client.receive(number)
    elif step in ("connect", "drop", "deliver"):
        getattr(client, step)()


def test_reads_once_after_subscribing_even_without_a_hint():
    assert Delivery(last_seq=4, head_seq=4).is_behind


def test_an_old_hint_asks_for_nothing():
    delivery = Delivery(last_seq=4)
    delivery.begin_read()
    delivery.note_head(4)
    assert not delivery.is_behind


def test_a_row_out_of_turn_asks_for_a_read():
    delivery = Delivery(last_seq=4)
    delivery.begin_read()
    assert delivery.offer(Row(6)) is None
    assert delivery.is_behind
    assert delivery.begin_read() == 4


@pytest.mark.parametrize(
    ("last_seq", "epoch", "head_seq", "resume"),
    [
        (0, None, 0, ResumePoint(0, False)),
        (0, None, MAX_REPLAY, ResumePoint(0, False)),
        (0, None, MAX_REPLAY + 1, ResumePoint(MAX_REPLAY + 1 - SNAPSHOT_SIZE, True)),
        (7, "now", 9, ResumePoint(7, False)),
        (7, None, 9, ResumePoint(7, False)),
        (10, None, 9, ResumePoint(0, True)),
        (9, "now", 9, ResumePoint(9, False)),
        (7, "before", 9, ResumePoint(0, True)),
        (7, None, 900, ResumePoint(850, True)),
        (10, "now", 9, ResumePoint(0, True)),
        (1, "now", 1 + MAX_REPLAY, ResumePoint(1, False)),
        (1, "now", 2 + MAX_REPLAY, ResumePoint(2 + MAX_REPLAY - SNAPSHOT_SIZE, True)),
    ],
)
def test_resumes_by_replay_or_by_snapshot(last_seq, epoch, head_seq, resume):
    assert plan_resume(last_seq=last_seq, epoch=epoch, head_seq=head_seq, head_epoch="now") == resume
