"""Tide tables as the harbour office writes them.

One tide a line: the time, the height in metres, and optionally a note.

    06:12 3.4
    12:30 0.8 low
    18:45 3.9 spring tide
"""


class Tide:
    def __init__(self, time, height, note=""):
        self.time = time
        self.height = height
        self.note = note

    def __repr__(self):
        return f"Tide({self.time!r}, {self.height!r}, {self.note!r})"


def parse(text):
    """All tides of a table, in the order they stand in. Empty lines and lines with # are left out."""
    tides = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        time, height, *note = line.split()
        tides.append(Tide(time, float(height), " ".join(note)))
    return tides


def highest(tides):
    """The tide with the greatest height; of equal ones the first."""
    if not tides:
        return None
    best = tides[0]
    for tide in tides[1:]:
        if tide.height > best.height:
            best = tide
    return best


def after(tides, time):
    """The first tide later than `time`, or None."""
    for tide in tides:
        if tide.time > time:
            return tide
    return None
