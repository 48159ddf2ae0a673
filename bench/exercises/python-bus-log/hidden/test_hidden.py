import unittest

import clock
import report
from buslog import Stop, parse


def stops(*delays):
    return [Stop("1", "stop", 100, 100 + delay) for delay in delays]


class HiddenTest(unittest.TestCase):
    def test_early_is_not_on_time(self):
        self.assertEqual(report.punctual(stops(-1, -2, -3, -10)), 0)

    def test_tolerance(self):
        self.assertEqual(report.punctual(stops(0, 1, 2, 3, 4)), 3)

    def test_after_midnight(self):
        self.assertEqual(report.punctual(parse("9 depot 24:30 24:31")), 1)
        self.assertEqual(clock.minutes("24:30"), 1470)

    def test_worst(self):
        self.assertEqual(report.worst(stops(-5, -1, -3)).delay(), -1)
