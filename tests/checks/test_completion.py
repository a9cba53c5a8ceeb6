"""The completion for bash, zsh and fish, played through the shells themselves: what a person gets who presses tab there."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONVD = Path(os.environ.get("CONVD", ROOT / "build" / "convd")).resolve()

# COMP_WORDS as bash's line editor makes it: cut at blanks, and at the characters of COMP_WORDBREAKS, which are words of their own.
SCRIPT = r"""
set -u
source "$1"
[[ $(complete -p convd) == *"-F _convd convd" ]] || exit 9
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_convd convd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words: str, cwd: Path | None = None) -> list[str]:
    """What is offered for the last of the words; the first is the program's name."""
    done = subprocess.run(["bash", "--norc", "-c", SCRIPT, "bash", ROOT / "systemd/completion/convd.bash", CONVD, *words], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [line for line in done.stdout.split("\n") if line]


def help_of(*verb: str) -> str:
    return subprocess.run([CONVD, *verb, "--help"], capture_output=True, text=True, check=True).stdout


def test_the_first_word_is_a_verb():
    verbs = re.findall(r"^  (\w+) ", help_of().split("verbs:\n")[1].split("\n\n")[0], re.MULTILINE)
    assert complete("") == [*verbs, "help", "version", "--help", "--version"]
    assert complete("se") == ["serve"]
    assert complete("help", "ver") == ["verify"]


@pytest.mark.parametrize("verb", ["serve", "init", "train", "predict", "evaluate", "export", "samples", "snapshots", "verify"])
def test_every_flag_of_a_verb_is_offered(verb):
    flags = re.findall(r"^  (--[a-z-]+) ", help_of(verb), re.MULTILINE)
    assert len(flags) >= 5
    assert complete(verb, "--") == flags
    assert complete(verb, "x", flags[0][:4]) == [flag for flag in flags if flag.startswith(flags[0][:4])]


@pytest.mark.parametrize("flag, words", [
    ("--gradient", ["diagonal", "jacobian"]),
    ("--fit", ["auto", "contain", "cover", "stretch", "content"]),
    ("--invert", ["never", "always", "auto"]),
])
def test_a_flag_that_takes_one_of_a_few_words_offers_those_that_convd_takes(flag, words, tmp_path):
    assert complete("init", flag, "") == words
    assert complete("init", flag, "=") == words
    assert complete("init", flag, "=", words[0][:3]) == [w for w in words if w.startswith(words[0][:3])]
    for word in words:
        subprocess.run([CONVD, "init", "--db", tmp_path / f"{word}.db", flag, word], check=True, capture_output=True)
    refused = subprocess.run([CONVD, "init", "--db", tmp_path / "no.db", flag, "nonsense"], capture_output=True, text=True)
    assert refused.returncode == 2 and all(word in refused.stderr for word in words)


def test_the_instruction_sets_are_offered():
    assert complete("serve", "--arith", "") == ["x86-64-v4", "x86-64-v3", "aarch64", "portable"]
    assert complete("train", "--arith", "x") == ["x86-64-v4", "x86-64-v3"]


def test_a_flag_that_takes_a_file_offers_files_with_blanks_too(tmp_path):
    for name in ("my digits.db", "my-faces.db", "other"):
        (tmp_path / name).touch()
    assert sorted(complete("serve", "--db", "my", cwd=tmp_path)) == ["my digits.db", "my-faces.db"]
    assert complete("export", "--onnx", "o", cwd=tmp_path) == ["other"]


def test_a_flag_that_takes_a_number_offers_nothing(tmp_path):
    (tmp_path / "7").touch()
    assert complete("serve", "--threads", "", cwd=tmp_path) == []


def test_operands_are_words_or_files_as_the_usage_says(tmp_path):
    (tmp_path / "images.idx").touch()
    assert complete("snapshots", "") == ["list", "take", "pin", "unpin", "drop", "activate", "diff"]
    assert complete("snapshots", "--pin", "ta") == ["take"]
    assert complete("samples", "") == ["list", "show", "forget", "relabel"]
    assert complete("train", "", cwd=tmp_path) == ["images.idx"]
    assert complete("verify", "", cwd=tmp_path) == []


def test_a_verb_that_there_is_not_offers_nothing():
    assert complete("fly", "--") == []


# ---- zsh and fish ----

# zsh completes in a terminal alone: lines are typed into one, and what its completion adds is told from the terminal's own output by marks.
ZSH = r"""
zmodload zsh/zpty
zpty inner zsh -f -i
ask() { zpty -w inner "$1"; }
ask "PROMPT= RPROMPT=; fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -u -D; setopt extended_glob"
ask 'bindkey "^I" complete-word'
ask 'compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-[a-z]#[OAD]\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits; builtin compadd -A hits "$@"; (($#hits)) && print -rl -- "<hit>"$^hits"</hit>"; builtin compadd "$@"
}'
ask 'last() { print "<e""nd>"; compstate[insert]= ; compstate[list]= ; comppostfuncs=(last); }; comppostfuncs=(last); print "<rea""dy>"'
zpty -r inner said '*<ready>*'
for line in "${@:2}"; do
    zpty -w -n inner $'\C-u'"$line"$'\t'
    zpty -r inner said '*<end>*'
    print -r -- "$said"
done
zpty -d inner
"""


def zsh(lines: list[str], cwd: Path) -> list[list[str]]:
    env = {**os.environ, "PATH": f"{CONVD.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    done = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", ROOT / "systemd/completion", *lines], capture_output=True, text=True, cwd=cwd, env=env,
                          stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stderr
    return [re.findall("<hit>(.*?)</hit>", part) for part in done.stdout.split("<end>")[:-1]]


def fish(lines: list[str], cwd: Path) -> list[list[str]]:
    env = {**os.environ, "PATH": f"{CONVD.parent}:{os.environ['PATH']}", "HOME": str(cwd.parent)}
    answers = []
    for line in lines:
        done = subprocess.run(["fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', ROOT / "systemd/completion/convd.fish", line],
                              capture_output=True, text=True, cwd=cwd, env=env, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr) == (0, "")
        answers.append(done.stdout.splitlines())
    return answers


VERBS = re.findall(r"^  (\w+) ", help_of().split("verbs:\n")[1].split("\n\n")[0], re.MULTILINE)
LINES = [*(f"{verb} --" for verb in VERBS), "", "se", "help ver", "init --fit ", "init --invert=a", "train --arith x", "serve --threads ", "predict im", "serve --db im",
         "serve --log-level ", "export --url ", "snapshots ", "snapshots --pin ta", "samples ", "train ", "verify ", "fly --"]


@pytest.mark.parametrize("shell", [zsh, fish])
def test_zsh_and_fish_offer_what_bash_offers(shell, tmp_path):
    cwd = tmp_path / "here"
    cwd.mkdir()
    (cwd / "images.idx").touch()
    told = shell([f"convd {line}" for line in LINES], cwd)
    assert len(told) == len(LINES)
    for line, answer in zip(LINES, told):
        offered = {word.split("\t")[0].removeprefix("--invert=" if shell == fish else "") for word in answer}
        words = complete(*line.replace("=", " = ").split(" "), cwd=cwd)
        if line.endswith("--"):
            assert len(words) >= 5 or line == "fly --"
        assert offered == set(words), line


def test_fish_says_what_a_verb_or_a_flag_is_for(tmp_path):
    (tmp_path / "here").mkdir()
    verb, flag = fish(["convd verif", "convd train --pas"], tmp_path / "here")
    assert verb == ["verify\tprove that the database holds exactly what was learned"]
    assert flag == ["--passes\tpasses over the images; later ones rehearse what the first put into the log (default 1)"]
