#!/bin/sh
# keep.sh FILE [COUNT]: moves FILE to FILE.1 after the older copies moved one place on; of FILE.1, FILE.2 … at most COUNT
# (3 when not said) are kept, the oldest goes. Prints what it moved, one `from -> to` a line, the oldest first.
set -eu

file=${1:?usage: keep.sh FILE [COUNT]}
count=${2:-3}

if [ ! -e "$file" ]; then
    echo "keep.sh: there is no $file" >&2
    exit 1
fi

move() {
    mv -f "$1" "$2"
    echo "$1 -> $2"
}

number=1
while [ "$number" -lt "$count" ]; do
    next=$((number + 1))
    if [ -e "$file.$number" ]; then
        move "$file.$number" "$file.$next"
    fi
    number=$next
done
move "$file" "$file.1"
