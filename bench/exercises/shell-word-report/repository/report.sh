#!/bin/sh
# report.sh FILE: the words of a file with how often each of them stands there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    echo "usage: report.sh FILE" >&2
    exit 2
}

[ "$#" -eq 1 ] || usage
file=$1
if [ ! -r "$file" ]; then
    echo "report.sh: cannot read $file" >&2
    exit 1
fi

echo "words of $file"
sh "$here/count.sh" "$file" | while read -r count word; do
    printf '%4d %s\n' "$count" "$word"
done
