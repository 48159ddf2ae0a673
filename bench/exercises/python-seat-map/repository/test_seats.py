import unittest

from seats import Hall


class SeatsTest(unittest.TestCase):
    def test_labels(self):
        hall = Hall(rows=3, width=10)
        self.assertEqual(hall.label(0), "A1")
        self.assertEqual(hall.label(10), "B1")

    def test_taking(self):
        hall = Hall(rows=2, width=4)
        hall.take(3)
        self.assertEqual(hall.free(), 7)


if __name__ == "__main__":
    unittest.main()
