"""Windows of tokens, against a count of how often each token is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.backends.local.token_windows import token_windows


@given(st.integers(1, 400), st.integers(0, 40), st.integers(2, 40), st.integers(1, 12))
def test_they_cover_the_text_in_parts_of_about_one_length(more: int, before: int, room: int, most: int):
    tokens = room + more
    spans, heading = token_windows(tokens, min(before, tokens), room, most)
    assert heading == (before if 2 * before <= room else 0)
    assert spans[0] == (0, room)
    assert len(spans) <= most
    read = [0] * tokens
    for start, end in spans:
        assert heading + end - start <= room or (start, end) == spans[0]
        for place in range(start, end):
            read[place] += 1
    last = spans[-1][1]
    assert all(read[:last]), "no token between windows is left out"
    needed = -(-(tokens - heading) // (room - heading))
    assert (last == tokens) == (needed <= most)
    further = [end - start for start, end in spans[1:]]
    assert further[:-1] == further[:1] * (len(further) - 1)
    if needed <= most:
        assert len(spans) <= needed, "no more windows than it takes"
    else:
        assert [end - start for start, end in spans[1:]] == [room - heading] * (most - 1)


def test_an_example():
    assert token_windows(25, 2, 10, 16) == ([(0, 10), (10, 18), (18, 25)], 2)
    assert token_windows(25, 6, 10, 16) == ([(0, 10), (9, 18), (18, 25)], 0)
    assert token_windows(1000, 0, 10, 3) == ([(0, 10), (10, 20), (20, 30)], 0)
