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

# escaped TEXT - as in a JSON string, and as curl wants a quoted file name.
escaped() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

known=$(call /classes)
for folder in "$1"/*/; do
    class=$(basename "$folder")
    case $known in *"\"label\":\"$(escaped "$class")\""*) ;; *)
        if added=$(call /classes -H 'Content-Type: application/json' -d "{\"label\": \"$(escaped "$class")\"}" 2>&1); then
            echo "new class: $class"
        else
            case $added in *urn:convd:problem:conflict*) ;; # known in another of Unicode's forms
            *)
                echo "$added" >&2
                exit 1
                ;;
            esac
        fi
        ;;
    esac
done

# The pictures' order: the first of each class, the second of each, .. : what comes last is remembered best.
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for folder in "$1"/*/; do
    class=$(basename "$folder")
    find "$folder" -maxdepth 1 -type f ! -name '.*' \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' \) | sort |
        CLASS=$class awk '{ printf "%09d\t%s\t%s\n", NR, ENVIRON["CLASS"], $0 }'
done | sort >"$list"

run=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
part=0
send() {
    part=$((part + 1))
    call /train -H "Idempotency-Key: train-folder-$run-$part" "$@"
}
tab=$(printf '\t')
labels=
set --
while IFS=$tab read -r _ class picture; do
    file="picture=@\"$(escaped "$picture")\""
    case $class in *,*) # in ?labels= it would be two
        send --url-query "label=$class" -F "$file"
        continue
        ;;
    esac
    labels=$labels${labels:+,}$class
    set -- "$@" -F "$file"
    if [ $# -ge 100 ]; then # 50 pictures
        send --url-query "labels=$labels" "$@"
        labels=
        set --
    fi
done <"$list"
[ $# -eq 0 ] || send --url-query "labels=$labels" "$@"
