"""Things to look at again and again: each entry has an interval in minutes."""


class Entry:
    def __init__(self, name, every, seen):
        self.name = name
        self.every = every
        self.seen = seen
        self.snoozed_until = None

    def is_due(self, now):
        if self.snoozed_until is not None and now < self.snoozed_until:
            return False
        return now - self.seen >= self.every


class WatchList:
    """Entries by name. Times are minutes since some beginning, as whole numbers."""

    def __init__(self):
        self._entries = {}

    def add(self, name, every, now=0):
        """A new entry, or a new interval for one that is there; it counts as seen now."""
        if every < 1:
            raise ValueError(f"{every} minutes: at least 1")
        self._entries[name] = Entry(name, every, now)

    def remove(self, name):
        del self._entries[name]

    def see(self, name, now):
        """Somebody looked at it."""
        self._entries[name].seen = now

    def snooze(self, name, until):
        """Leaves it out of what is due before the minute `until`."""
        self._entries[name].snoozed_until = until

    def due(self, now):
        """Names of the entries to look at, those waiting longest first."""
        due = [entry for entry in self._entries.values() if entry.is_due(now)]
        due.sort(key=lambda entry: entry.seen + entry.every)
        return [entry.name for entry in due]
