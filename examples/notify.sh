#!/bin/bash
# notify.sh URL [EVENT...] - posts what convd tells to URL, as {"event":"drift","data":{..}}; EVENT: drift, warning and job, where none is named.
#
# Of a job its end alone. A post is repeated five times; one that fails all the same is told on stderr. When the connection
# to convd breaks, what happened meanwhile is posted when it is back.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"
[ $# -gt 0 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }

hook=$1
shift
wanted=" ${*:-drift warning job} "
last=
event=

call /stats >/dev/null # that convd is there, and lets it in
while :; do
    while IFS= read -r line; do
        case $line in
        id:*) last=${line#id: } ;;
        event:*) event=${line#event: } ;;
        data:*'"state":"running"'*) ;;
        data:*)
            case $wanted in *" $event "*)
                curl -sS --fail -o /dev/null --retry 5 --retry-connrefused -H 'Content-Type: application/json' \
                    -d "{\"event\":\"$event\",\"data\":${line#data: }}" "$hook" || echo "notify.sh: not posted: $event ${line#data: }" >&2
                ;;
            esac
            ;;
        esac
    done < <(request /events -sSN --fail -H "Last-Event-ID: $last")
    sleep 2
done
