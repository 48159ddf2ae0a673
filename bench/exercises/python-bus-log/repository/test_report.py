import unittest

import buslog
import clock
import report

LOG = """
12 harbour 08:05 08:07
12 market 08:11 08:10
7 station 08:20 08:29
12 school 08:18 08:18
7 harbour 08:31 08:36
"""


class ReportTest(unittest.TestCase):
    def test_clock_parses_times(self):
        self.assertEqual(clock.minutes("08:05"), 485)
        rows = report.report(buslog.parse(LOG))
        self.assertEqual(rows[0], "12: 2 of 3 on time, worst harbour at 08:07")
        self.assertEqual(rows[1], "7: 0 of 2 on time, worst station at 08:29")

    def test_order_of_lines(self):
        self.assertEqual(list(report.by_line(buslog.parse(LOG))), ["12", "7"])


if __name__ == "__main__":
    unittest.main()
