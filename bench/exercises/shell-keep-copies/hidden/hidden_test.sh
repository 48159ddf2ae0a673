#!/bin/sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0

expect() {
    if [ "$2" != "$3" ]; then
        echo "FAIL: $1: expected '$2', found '$3'"
        failed=1
    fi
}

for day in 1 2 3 4 5 6 7; do
    echo "$day" > "a log"
    sh "$here/keep.sh" "a log" 5 > said
done
expect "copies" "7 6 5 4 3" "$(cat "a log.1" "a log.2" "a log.3" "a log.4" "a log.5" | tr '\n' ' ' | sed 's/ $//')"
expect "no sixth" "" "$(ls "a log.6" 2>/dev/null)"
expect "what it said" "a log.4 -> a log.5
a log.3 -> a log.4
a log.2 -> a log.3
a log.1 -> a log.2
a log -> a log.1" "$(cat said)"

for day in 1 2 3; do
    echo "$day" > one
    sh "$here/keep.sh" one 1 > said
done
expect "one copy" 3 "$(cat one.1)"
expect "no second" "" "$(ls one.2 2>/dev/null)"
expect "said once" "one -> one.1" "$(cat said)"

echo old > gap.2
echo new > gap
sh "$here/keep.sh" gap > said
expect "a gap" "new old" "$(cat gap.1 gap.3 | tr '\n' ' ' | sed 's/ $//')"
exit "$failed"
