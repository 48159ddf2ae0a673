#!/bin/sh
# count.sh FILE: how often each word stands in a file, as `count word`, the most frequent first, equal ones by the alphabet.
set -eu
LC_ALL=C
export LC_ALL

tr 'A-Z' 'a-z' < "${1:?usage: count.sh FILE}" | tr -cs 'a-z' '\n' | sed '/^$/d' | sort | uniq -c |
    sed 's/^ *//' | sort -k1,1nr -k2
