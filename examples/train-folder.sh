#!/bin/sh
# train-folder.sh FOLDER - learns from FOLDER/CLASS/PICTURE, one sub-folder for each class; new classes are added first.
#
# 50 pictures go in one request, of all classes in turn. Each request has a key of its own, so that one whose answer was
# lost can be repeated without learning from its pictures twice; running the script again learns from all of them again.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"
[ $# -eq 1 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
[ -d "$1" ] || { echo "$1 is not a folder" >&2; exit 2; }

known=$(call /classes)
for folder in "$1"/*/; do
    class=$(basename "$folder")
    case $known in *"\"label\":\"$class\""*) ;; *)
        call /classes -H 'Content-Type: application/json' -d "{\"label\": \"$class\"}" >/dev/null
        echo "new class: $class"
        ;;
    esac
done

# The pictures' order: the first of each class, the second of each, .. : what comes last is remembered best.
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for folder in "$1"/*/; do
    find "$folder" -maxdepth 1 -type f \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' \) | sort |
        awk -v class="$(basename "$folder")" '{ printf "%09d\t%s\t%s\n", NR, class, $0 }'
done | sort >"$list"

run=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
part=0
send() {
    part=$((part + 1))
    call /train -H "Idempotency-Key: train-folder-$run-$part" "$@"
}
tab=$(printf '\t')
set --
while IFS=$tab read -r _ class picture; do
    set -- "$@" -F "$class=@\"$picture\""
    if [ $# -ge 100 ]; then # 50 pictures
        send "$@"
        set --
    fi
done <"$list"
[ $# -eq 0 ] || send "$@"
