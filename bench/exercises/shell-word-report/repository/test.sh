#!/bin/sh
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

echo "The cat and the dog and the bird" > text
expect "everything" "words of text
   3 the
   2 and
   1 bird
   1 cat
   1 dog" "$(sh "$here/report.sh" text)"
expect "the two most frequent" "words of text
   3 the
   2 and" "$(sh "$here/report.sh" --top 2 text 2>&1)"
sh "$here/report.sh" --top many text > said 2>&1
expect "no number" 2 "$?"

[ "$failed" = 0 ] && echo "all tests passed"
exit "$failed"
