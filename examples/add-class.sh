#!/bin/sh
# add-class.sh CLASS PICTURE... - adds a class (where it is new) and learns from its pictures, REPEAT times (5) each.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"
[ $# -ge 2 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }

class=$1
shift
case $(call /classes) in *"\"label\":\"$class\""*) ;; *)
    call /classes -H 'Content-Type: application/json' -d "{\"label\": \"$class\"}"
    ;;
esac
repeat=${REPEAT:-5}
run=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
part=0
while [ "$repeat" -gt 0 ]; do
    for picture; do
        part=$((part + 1))
        call /train -H "Idempotency-Key: add-class-$run-$part" -F "$class=@\"$picture\""
    done
    repeat=$((repeat - 1))
done
