"""The framer, fed in every way a network or a stranger may feed it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mllp.framer import END, FINISH, START, Framer, wrap
from worklist.errors import BadInput

# Bytes without frame marks, with the letters that matter to HL7 and GB18030 among them.
message_bytes = st.binary(max_size=60).map(lambda data: data.replace(START, b"|").replace(END, "镕".encode("gb18030")))
line_ends = st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n"])


def fed_in_pieces(framer: Framer, data: bytes, cuts: list[int]) -> list[bytes]:
    """Feed `data`, cut at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [m for a, b in pairwise(places) for m in framer.feed(data[a:b])]


@given(st.lists(st.tuples(message_bytes, line_ends), max_size=8), st.lists(st.integers(0, 1000), max_size=20))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    stream: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    framer = Framer()
    data = b"".join(wrap(message) + between for message, between in stream)
    assert fed_in_pieces(framer, data, cuts) == [message for message, _ in stream]
    assert framer.fault is None
    assert not framer.is_open
    assert len(framer) == 0


@given(message_bytes)
def test_one_byte_at_a_time(message: bytes) -> None:
    framer = Framer()
    data = wrap(message)
    early = [m for at in range(len(data) - 1) for m in framer.feed(data[at : at + 1])]
    assert early == []
    assert framer.is_held
    assert framer.feed(data[-1:]) == [message]


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=20))
def test_any_bytes_in_any_pieces_give_the_same_and_stay_within_the_limits(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Framer(longest=50, most_junk=10), Framer(longest=50, most_junk=10)
    assert whole.feed(data) == fed_in_pieces(pieces, data, cuts)
    assert (whole.fault is None) == (pieces.fault is None)
    assert len(whole) <= 60
    assert whole.unused == pieces.unused
    assert whole.skipped == pieces.skipped


@given(st.lists(st.sampled_from([START, END, b"\r", b"\n", b"x", b"MSH|"]), max_size=40))
def test_no_message_contains_a_frame_mark(pieces: list[bytes]) -> None:
    framer = Framer(longest=20, most_junk=8)
    for message in framer.feed(b"".join(pieces)):
        assert START not in message
        assert END not in message
        assert len(message) <= 20


def test_an_empty_frame_is_an_empty_message() -> None:
    assert Framer().feed(START + FINISH) == [b""]


def test_the_longest_message_passes_and_one_byte_more_does_not() -> None:
    assert Framer(longest=5).feed(wrap(b"12345")) == [b"12345"]
    framer = Framer(longest=5)
    assert framer.feed(START + b"123456") == []
    assert framer.fault is not None
    assert (framer.fault.code, framer.fault.params) == ("message_too_long", {"limit": 5})
    assert framer.unused == b"12345"
    # The rest of it, and whatever follows, costs nothing.
    assert framer.feed(b"x" * 100_000 + FINISH + wrap(b"MSH")) == []
    assert len(framer) == 5


def test_messages_before_a_fault_are_not_lost() -> None:
    framer = Framer()
    assert framer.feed(wrap(b"a") + wrap(b"b") + START + b"c" + START) == [b"a", b"b"]
    assert code(framer) == "start_inside_message"
    assert framer.unused == b"c"


def test_an_end_mark_inside_a_message_cuts_nothing() -> None:
    framer = Framer()
    assert framer.feed(START + b"MSH|half" + END + b"|the order" + FINISH) == []
    assert code(framer) == "end_inside_message"
    assert framer.unused == b"MSH|half"


@pytest.mark.parametrize("after", [b"\n", START])
def test_a_missing_carriage_return_shows_by_what_follows(after: bytes) -> None:
    framer = Framer()
    assert framer.feed(START + b"a" + END) == []
    assert framer.feed(after) == [b"a"]
    assert framer.is_open == (after == START)


def test_a_held_frame_is_released_once() -> None:
    framer = Framer()
    framer.feed(START + b"a" + END)
    assert framer.release() == b"a"
    with pytest.raises(ValueError, match="no frame"):
        framer.release()
    assert framer.feed(b"\r" + wrap(b"b")) == [b"b"]
    assert framer.skipped == 0


def test_bytes_between_frames_are_skipped_up_to_the_limit() -> None:
    framer = Framer(most_junk=3)
    assert framer.feed(b"\r\nxyz" + wrap(b"a") + b"xyz" + wrap(b"b")) == [b"a", b"b"]
    assert framer.skipped == 6
    assert framer.feed(b"GET / HTTP/1.1\r\n") == []
    assert code(framer) == "bytes_between_frames"
    assert framer.unused == b"GET"


def test_line_ends_between_frames_are_free_and_cost_no_memory() -> None:
    framer = Framer(most_junk=3)
    assert framer.feed(b"\r\n" * 10_000 + wrap(b"a")) == [b"a"]


@pytest.mark.parametrize("message", [b"a\x0bb", b"a\x1cb", b"\x1c\r"])
def test_a_message_with_a_frame_mark_is_not_wrapped(message: bytes) -> None:
    with pytest.raises(BadInput, match="frame_mark_in_message"):
        wrap(message)


def code(framer: Framer) -> str:
    """The code of the fault."""
    assert framer.fault is not None
    return framer.fault.code
