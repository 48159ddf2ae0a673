"""What JSON Schema cannot say of numbers: an integer is written as one (8.0 counts as one there, and for no typed client), and
where anything may stand, no number stands that a double would change (RFC 7493)."""

import schemathesis

LARGEST = 2**53 - 1


def plain(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        return int(value)
    if isinstance(value, (int, float)) and abs(value) > LARGEST:
        # No integer, so that what was out of range stays wrong.
        return 0.5
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    return plain(body)
