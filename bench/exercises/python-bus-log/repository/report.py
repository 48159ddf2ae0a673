"""How punctual each line was."""

import clock

# A bus that is less than so many minutes late is on time. One that is early is not.
TOLERANCE = 3


def by_line(stops):
    """The stops of each line, lines in the order in which they first appear."""
    lines = {}
    for stop in stops:
        lines[stop.line] = lines.get(stop.line, [])
        lines[stop.line].append(stop)
    return lines


def punctual(stops):
    """How many of the stops were on time."""
    return sum(1 for stop in stops if abs(stop.delay()) < TOLERANCE)


def worst(stops):
    """The stop with the longest delay; of equal ones the first."""
    return max(stops, key=lambda stop: stop.delay())


def report(stops):
    rows = []
    for line, own in by_line(stops).items():
        late = worst(own)
        rows.append(f"{line}: {punctual(own)} of {len(own)} on time, worst {late.name} at {clock.show(late.actual)}")
    return rows
