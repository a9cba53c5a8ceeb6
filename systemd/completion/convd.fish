# Completion of convd for fish: verbs, flags with what they do, and the words that a flag takes.
#
# All of it is asked of convd itself (`convd --help`, `convd VERB --help`), so that it knows what the installed convd knows.

function __convd_verbs # CONVD
    $argv[1] --help 2>/dev/null | sed -n '/^verbs:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

# What may follow a flag, each with what stands before it ("--fit="); nothing, and false, after a switch.
function __convd_values # HELP... FLAG BEFORE CURRENT
    set -l help $argv[1..-4]
    set -l flag $argv[-3]
    set -l value (string replace -- $argv[-2] '' $argv[-1])
    set -l line (string match -r -- "^  $flag [^ ]+  .*" $help); or return
    switch (string split -n ' ' $line)[2]
        case WORD NAME
            string replace -r '^[^:]*: *([^;]*).*' '$1' $line | string replace -ar '\([^)]*\)|,' '' | string replace -a ' or ' ' ' |
                string split -n ' ' | string replace -r '^' -- $argv[-2]
        case FILE 'OUT*'
            __fish_complete_path $value | string replace -r '^' -- $argv[-2]
        case URL
            printf '%s\n' $argv[-2]{http://127.0.0.1:8080,https://,unix:/}
    end
    return 0
end

function __convd
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if test (count $words) -eq 1
        __convd_verbs $words[1]
        printf '%s\n' help version --help --version
        return
    end
    if test $words[2] = help
        test (count $words) -eq 2; and __convd_verbs $words[1]
        return
    end
    set -l help ($words[1] $words[2] --help 2>/dev/null); or return
    if set -l flag (string match -r -- '^--[a-z-]+(?==)' $current)
        __convd_values $help $flag $flag= $current
        return
    end
    string match -q -- '--*' $words[-1]; and __convd_values $help $words[-1] '' $current; and return
    if string match -q -- '-*' $current
        string replace -rf -- '^  (--[a-z-]+)(?: [^ ]+)?  +(.*)' '$1\t$2' $help
        return
    end
    # Operands: words where the usage line has some ("[list | take | pin ID]"), else files.
    set -l usage (string replace -rf -- '^usage: convd [a-z]+ \[FLAGS\] *' '' $help)
    if string match -qr '^\[[a-z]' -- $usage
        string match -ar -- '[a-z]+' $usage
    else if test -n "$usage"
        __fish_complete_path $current
    end
end

complete -c convd -f -a '(__convd)'
