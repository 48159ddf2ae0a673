#!/bin/sh
# report.sh [--top N] FILE: the words of a file with how often each of them stands there, or only the N most frequent.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    echo "usage: report.sh [--top N] FILE" >&2
    exit 2
}

top=
if [ "${1-}" = --top ]; then
    [ "$#" -eq 3 ] || usage
    case $2 in
        '' | 0* | *[!0-9]*) usage ;;
    esac
    top=$2
    shift 2
fi
[ "$#" -eq 1 ] || usage
file=$1
if [ ! -r "$file" ]; then
    echo "report.sh: cannot read $file" >&2
    exit 1
fi

echo "words of $file"
sh "$here/count.sh" "$file" | if [ -n "$top" ]; then head -n "$top"; else cat; fi | while read -r count word; do
    printf '%4d %s\n' "$count" "$word"
done
