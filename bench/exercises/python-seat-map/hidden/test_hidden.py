import unittest

from seats import Hall


class HiddenTest(unittest.TestCase):
    def test_the_last_of_a_row(self):
        hall = Hall(rows=3, width=10)
        self.assertEqual([hall.label(seat) for seat in (9, 19, 29)], ["A10", "B10", "C10"])

    def test_one_seat_a_row(self):
        hall = Hall(rows=26, width=1)
        self.assertEqual([hall.label(0), hall.label(25)], ["A1", "Z1"])

    def test_take_tells_the_label(self):
        hall = Hall(rows=2, width=4)
        self.assertEqual(hall.take(4), "B1")
        with self.assertRaisesRegex(ValueError, "B1 is taken"):
            hall.take(4)
        with self.assertRaises(ValueError):
            hall.take(8)
        self.assertEqual(hall.free(), 7)
