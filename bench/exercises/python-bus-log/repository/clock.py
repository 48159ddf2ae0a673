"""Times of a day as minutes since midnight."""


def minutes(text):
    """`08:05` is 485. A service day goes on after midnight: `24:30` is 1470."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def show(count):
    return f"{count // 60:02d}:{count % 60:02d}"
