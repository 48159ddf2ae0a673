import unittest

from watchlist import WatchList


class WatchListTest(unittest.TestCase):
    def setUp(self):
        self.list = WatchList()
        self.list.add("oven", every=10)
        self.list.add("bread", every=5)

    def test_due(self):
        self.assertEqual(self.list.due(4), [])
        self.assertEqual(self.list.due(10), ["bread", "oven"])

    def test_snooze(self):
        self.list.snooze("bread", until=30)
        self.assertEqual(self.list.due(10), ["oven"])
        self.assertEqual(self.list.due(30), ["bread", "oven"])

    def test_snooze_of_nothing(self):
        with self.assertRaises(KeyError):
            self.list.snooze("cake", until=5)


if __name__ == "__main__":
    unittest.main()
