import unittest

import page
import tides
from tides import Tide


class HiddenTest(unittest.TestCase):
    def test_of_equal_ones_the_first(self):
        self.assertEqual(tides.highest([Tide("01:00", 2.0), Tide("07:00", 3.0), Tide("13:00", 3.0)]).time, "07:00")

    def test_the_first_may_be_the_highest(self):
        self.assertEqual(tides.highest([Tide("01:00", 4.0), Tide("07:00", 1.0), Tide("13:00", 3.0)]).time, "01:00")

    def test_below_zero(self):
        self.assertEqual(tides.highest([Tide("01:00", -0.4), Tide("07:00", -0.1)]).time, "07:00")

    def test_none(self):
        self.assertIsNone(tides.highest([]))
        self.assertEqual(page.summary("# nothing\n"), "no tides today")

    def test_after(self):
        self.assertEqual(tides.after([Tide("01:00", 1.0), Tide("07:00", 2.0)], "01:00").time, "07:00")
