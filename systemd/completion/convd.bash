# Completion of convd for bash: verbs, flags, and the words that a flag takes.
#
# All of it is asked of convd itself (`convd --help`, `convd VERB --help`), so that it knows what the installed convd knows. Needs
# nothing but bash: the package bash-completion finds it by its place, others can source it.
# shellcheck shell=bash

# The words of a flag that takes one of a few, out of its line of help: "--fit WORD  pictures of another size: contain, cover or
# stretch (default contain)", and so for NAME.
_convd_words() { # HELP FLAG
    local line
    line=$(sed -n "s/^  $2 \(WORD\|NAME\)  *[^:]*: *//p" <<<"$1")
    line=${line%%;*}
    sed 's/([^)]*)//g; s/ or /, /g; s/,/ /g' <<<"$line"
}

# COMPREPLY - the candidates that begin with `cur`, one a line in $1.
_convd_reply() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        [[ -n $line && $line == "$cur"* ]] && COMPREPLY+=("$line")
    done <<<"$1"
}

_convd_files() {
    local line
    compopt -o filenames 2>/dev/null
    COMPREPLY=()
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
}

_convd() {
    local convd=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local help argument usage
    COMPREPLY=()
    # A leading tilde is the shell's to expand, and it has not done so yet.
    convd=${convd/#\~/$HOME}
    if ((COMP_CWORD == 1)); then
        help=$("$convd" --help 2>/dev/null) || return
        _convd_reply "$(sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")
help
version
--help
--version"
        return
    fi
    if [[ $verb == help ]]; then
        ((COMP_CWORD == 2)) || return
        help=$("$convd" --help 2>/dev/null) || return
        _convd_reply "$(sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")"
        return
    fi
    help=$("$convd" "$verb" --help 2>/dev/null) || return

    # "--flag=value" comes as three words: bash cuts at the "=".
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $before == "=" ]] && ((COMP_CWORD >= 3)); then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ $before == --* ]]; then
        argument=$(sed -n "s/^  $before \([^ ]*\)  .*/\1/p" <<<"$help")
        case $argument in
        '') ;; # a switch: what follows is a word of its own
        WORD | NAME)
            _convd_reply "$(_convd_words "$help" "$before" | tr -s ' ' '\n')"
            return
            ;;
        FILE | OUT*)
            _convd_files
            return
            ;;
        URL)
            # bash cuts at the colon, too, and so would complete what stands behind it
            [[ $COMP_WORDBREAKS == *:* && $cur == *:* ]] || _convd_reply 'http://127.0.0.1:8080
https://
unix:/'
            return
            ;;
        *) return ;; # a number, a text
        esac
    fi
    if [[ $cur == -* ]]; then
        _convd_reply "$(sed -n 's/^  \(--[a-z-]*\) .*/\1/p' <<<"$help")"
        return
    fi
    # Operands: words where the usage line has some ("[list | take | pin ID]"), else files.
    usage=$(sed -n 's/^usage: convd [a-z]* \[FLAGS\] *//p' <<<"$help")
    if [[ $usage =~ ^\[[a-z] ]]; then
        _convd_reply "$(tr -d '[]' <<<"$usage" | tr '|' '\n' | sed 's/^ *\([a-z]*\).*/\1/')"
    elif [[ -n $usage ]]; then
        _convd_files
    fi
}

complete -F _convd convd
