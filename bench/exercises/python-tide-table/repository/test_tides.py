import unittest

import page
import tides

TABLE = """
# Friday
06:12 3.4
12:30 0.8 low
18:45 3.9 spring tide
"""


class TidesTest(unittest.TestCase):
    def test_parse(self):
        self.assertEqual([tide.time for tide in tides.parse(TABLE)], ["06:12", "12:30", "18:45"])

    def test_highest(self):
        self.assertEqual(tides.highest(tides.parse(TABLE)).time, "18:45")

    def test_summary(self):
        self.assertEqual(page.summary(TABLE), "high water 3.9 m at 18:45")


if __name__ == "__main__":
    unittest.main()
