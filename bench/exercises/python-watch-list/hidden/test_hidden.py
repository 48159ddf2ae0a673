import unittest

from watchlist import WatchList


class HiddenTest(unittest.TestCase):
    def setUp(self):
        self.list = WatchList()
        self.list.add("oven", every=10)
        self.list.add("bread", every=5)

    def test_the_minute_before(self):
        self.list.snooze("oven", until=30)
        self.assertEqual(self.list.due(29), ["bread"])

    def test_it_does_not_become_due_earlier(self):
        self.list.snooze("oven", until=3)
        self.assertEqual(self.list.due(3), [])
        self.assertEqual(self.list.due(10), ["bread", "oven"])

    def test_the_later_snooze_holds(self):
        self.list.snooze("oven", until=50)
        self.list.snooze("oven", until=20)
        self.assertEqual(self.list.due(20), ["bread", "oven"])

    def test_only_one_is_snoozed(self):
        self.list.snooze("bread", until=100)
        self.list.see("oven", 10)
        self.assertEqual(self.list.due(20), ["oven"])

    def test_removed(self):
        self.list.remove("oven")
        with self.assertRaises(KeyError):
            self.list.snooze("oven", until=5)
