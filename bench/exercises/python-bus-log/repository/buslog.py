"""The log that buses write: one stop a line.

    12 harbour 08:05 08:07

is line 12 at the stop `harbour`, planned for 08:05 and there at 08:07.
"""

import clock


class Stop:
    def __init__(self, line, name, planned, actual):
        self.line = line
        self.name = name
        self.planned = planned
        self.actual = actual

    def delay(self):
        """Minutes late; below zero when it was early."""
        return self.actual - self.planned


def parse(text):
    stops = []
    for row in text.splitlines():
        fields = row.split()
        if len(fields) != 4:
            continue
        line, name, planned, actual = fields
        stops.append(Stop(line, name, clock.minutes(planned), clock.minutes(actual)))
    return stops
