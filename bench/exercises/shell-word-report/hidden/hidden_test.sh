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

echo "b a c a" > "my text"
expect "one" "words of my text
   2 a" "$(sh "$here/report.sh" --top 1 "my text" 2>&1)"
expect "more than there are" "words of my text
   2 a
   1 b
   1 c" "$(sh "$here/report.sh" --top 30 "my text" 2>&1)"
for number in 0 -1 1x x "" 1.5; do
    sh "$here/report.sh" --top "$number" "my text" > said 2>&1
    expect "--top '$number'" 2 "$?"
done
sh "$here/report.sh" --top 1 > said 2>&1
expect "no file" 2 "$?"
sh "$here/report.sh" > said 2>&1
expect "nothing" 2 "$?"
sh "$here/report.sh" --top 2 nothing > said 2>&1
expect "a file that is not there" 1 "$?"
exit "$failed"
