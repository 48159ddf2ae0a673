#!/bin/sh
# Runs keep.sh on files of its own.
set -u
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0

expect() { # what, wanted, found
    if [ "$2" != "$3" ]; then
        echo "FAIL: $1: expected '$2', found '$3'"
        failed=1
    fi
}

for day in monday tuesday wednesday thursday; do
    echo "$day" > log
    sh "$here/keep.sh" log > said
done
expect "the newest copy" thursday "$(cat log.1)"
expect "the second copy" wednesday "$(cat log.2 2>/dev/null)"
expect "the third copy" tuesday "$(cat log.3 2>/dev/null)"
expect "the oldest is gone" "" "$(ls log.4 2>/dev/null)"

sh "$here/keep.sh" nothing 2>/dev/null
expect "a file that is not there" 1 "$?"

[ "$failed" = 0 ] && echo "all tests passed"
exit "$failed"
