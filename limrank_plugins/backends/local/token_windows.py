"""Where the windows of a text that is longer than a model reads begin and end."""

from __future__ import annotations

import math


def token_windows(tokens: int, before: int, room: int, most: int) -> tuple[list[tuple[int, int]], int]:
    """Starts and ends of the beginning and of the windows behind it, in tokens, and what stands before those.

    The text behind its title is cut into windows of about one length, which do not overlap. The first one is
    then as long as there is room: it is what is read of a text that is cut. Of a text that is too long for
    so many windows they are as long as they can be, and what is behind the last one is in none.

    Args:
        tokens: of the text, more than there is room for.
        before: how many of its first tokens stand before each further window, too (a title). None do where
            they would take more than half of it.
        room: the most tokens of a window.
        most: the most windows, at least 1.
    """
    if 2 * before > room:
        before = 0
    count = math.ceil((tokens - before) / (room - before))
    step = math.ceil((tokens - before) / count) if count <= most else room - before
    windows = [(start, min(tokens, start + step)) for start in range(before, tokens, step)[:most]]
    return [(0, room), *windows[1:]], before
