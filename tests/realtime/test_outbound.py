import asyncio

import orjson
import pytest

from apps.realtime.outbound import MAX_BYTES, MAX_FRAMES, Outbound, SlowSocket


async def _drain(outbound: Outbound) -> list[dict]:
    return [orjson.loads(await outbound.take()) for _ in range(len(outbound))]


async def test_keeps_the_order():
    outbound = Outbound()
    for seq in range(5):
        outbound.push({"type": "message", "seq": seq})
    assert [frame["seq"] for frame in await _drain(outbound)] == [0, 1, 2, 3, 4]


async def test_too_many_frames_mean_a_slow_socket():
    outbound = Outbound()
    for seq in range(MAX_FRAMES):
        outbound.push({"type": "message", "seq": seq})
    with pytest.raises(SlowSocket):
        outbound.push({"type": "message", "seq": MAX_FRAMES})


async def test_too_many_bytes_mean_a_slow_socket():
    outbound = Outbound()
    outbound.push({"type": "message", "text": "x" * (MAX_BYTES - 100)})
    with pytest.raises(SlowSocket):
        outbound.push({"type": "message", "text": "x" * 100})


async def test_replay_waits_for_room_instead():
    outbound = Outbound()
    replay = asyncio.create_task(_put_all(outbound, 200))
    await asyncio.sleep(0)
    assert len(outbound) == MAX_FRAMES
    seqs = [orjson.loads(await outbound.take())["seq"] for _ in range(200)]
    await replay
    assert seqs == list(range(200))


async def _put_all(outbound: Outbound, number: int) -> None:
    for seq in range(number):
        await outbound.put({"type": "message", "seq": seq})


async def test_a_frame_larger_than_the_queue_goes_through_alone():
    outbound = Outbound()
    await outbound.put({"type": "message", "text": "x" * (MAX_BYTES + 1)})
    assert len(await outbound.take()) > MAX_BYTES


async def test_only_the_newest_state_waits_and_it_goes_last():
    outbound = Outbound()
    outbound.push_fleeting({"type": "typing", "author": "ai", "active": True})
    outbound.push({"type": "message", "seq": 1})
    outbound.push_fleeting({"type": "typing", "author": "ai", "active": False})
    outbound.push_fleeting({"type": "typing", "author": "agent", "active": True})
    assert [(frame["type"], frame.get("active")) for frame in await _drain(outbound)] == [
        ("message", None),
        ("typing", False),
        ("typing", True),
    ]


async def test_deltas_of_a_reply_are_joined_and_a_hole_is_not_papered_over():
    outbound = Outbound()
    for offset, text in [(0, "Hel"), (3, "lo"), (3, "lo"), (9, "late"), (13, "!")]:
        outbound.push_fleeting({"type": "delta", "reply_id": "r", "offset": offset, "text": text})
    outbound.push_fleeting({"type": "delta", "reply_id": "other", "offset": 0, "text": "x"})
    frames = await _drain(outbound)
    assert [(frame["offset"], frame["text"]) for frame in frames] == [(9, "late!"), (0, "x")]


async def test_fleeting_frames_are_dropped_when_there_is_no_room():
    outbound = Outbound()
    for seq in range(MAX_FRAMES):
        outbound.push({"type": "message", "seq": seq})
    outbound.push_fleeting({"type": "heartbeat", "head_seq": 1})
    assert {frame["type"] for frame in await _drain(outbound)} == {"message"}


async def test_bytes_are_given_back():
    outbound = Outbound()
    for _ in range(20):
        outbound.push_fleeting({"type": "delta", "reply_id": "r", "offset": 0, "text": "x" * 100_000})
        outbound.push({"type": "message", "text": "x" * 100_000})
        await _drain(outbound)
    last = {"type": "message", "text": "x" * (MAX_BYTES - 100)}
    outbound.push(last)  # would be refused if anything had stayed counted
    assert await _drain(outbound) == [last]
