#!/bin/sh
# predict.sh PICTURE... - prints what each picture shows: its class, how sure the model is, and the file.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"
[ $# -gt 0 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }

for picture; do
    answer=$(call "/predict?top=1" --data-binary "@$picture")
    printf '%s\t%s\t%s\n' "$(echo "$answer" | member label)" "$(echo "$answer" | member confidence)" "$picture"
done
