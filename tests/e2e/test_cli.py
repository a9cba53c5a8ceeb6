"""The command line, offline and with --url."""
import io
import json
import os
import re
import signal
import subprocess

import numpy as np
import pytest
from PIL import Image

from .daemon import CONVD, PATIENCE_S, PLAIN, SANITIZED, Daemon, clean_environment, convd, convd_json, lasting_port, until, words
from .pictures import EXAMPLES, jpeg, png, write_idx
from .reference import read_safetensors

VERBS = ["serve", "init", "train", "predict", "evaluate", "export", "samples", "snapshots", "backup", "verify"]
FAILED, USAGE, DATABASE, NETWORK = 1, 2, 3, 4


def place(daemon_or_db) -> list[str]:
    return ["--url", daemon_or_db.url] if isinstance(daemon_or_db, Daemon) else ["--db", str(daemon_or_db)]


@pytest.fixture(params=["offline", "url"])
def model(request, daemons):
    """A trained model, as a database or behind a daemon."""
    db = daemons.copy()
    return db if request.param == "offline" else daemons.start(db)


# ---- help and usage ----

@pytest.mark.core
@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_for_how_flags_defaults_examples_and_exit_codes(verb):
    text = convd(verb, "--help").stdout.decode()
    assert text == convd("help", verb).stdout.decode()
    for word in (f"usage: convd {verb}", "--help", "examples:", "exit codes:"):
        assert word in text
    flags = set(re.findall(r"^  --([a-z-]+)", text, re.M))
    assert {"url" if verb in VERBS[2:9] else "db", "help"} <= flags


# The flags that DESIGN, docs/operating.md and the units name; --help must list each.
NAMED = {
    "serve": "db listen arith body-bytes queue-samples snapshot-samples idle-seconds request-seconds connections "
             "threads",
    "init": "db from width height channels kernels kernel-width kernel-height stride hidden classes gradient rate mean "
            "seed normalize fit invert rehearsal jitter rotation decay-steps clip imprint rehearsal-first rehearsal-buffer output-rate json",
    "train": "db url passes rate decay limit batch json quiet", "predict": "db url top strict json", "evaluate": "db url strict json",
    "export": "db url safetensors kernels force", "snapshots": "db url json",
    "samples": "db url label predicted wrong limit before image scale force drop-pinned json quiet", "verify": "db json", "backup": "db url json",
}


@pytest.mark.parametrize("verb", NAMED)
def test_help_names_every_documented_flag_and_the_flag_is_understood(verb):
    flags = set(re.findall(r"^  --([a-z-]+)", convd(verb, "--help").stdout.decode(), re.M))
    assert set(NAMED[verb].split()) <= flags
    done = convd(verb, "--no-such-flag", check=False)
    assert done.returncode == USAGE and b"no-such-flag" in done.stderr and b"--help" in done.stderr


@pytest.mark.parametrize("args, meant", [
    (["trian"], b"train"), (["eval"], b"evaluate"), (["snapshot"], b"snapshots"), (["expotr"], b"export"), (["--verison"], b"--version"),
    (["help", "pridict"], b"predict"), (["train", "--quite"], b"--quiet"), (["predict", "--tpo=3"], b"--top"), (["serve", "--thread-s", "2"], b"--threads"),
    (["init", "--rehearsalidle", "1"], b"--rehearsal-idle"), (["serve", "--hlep"], b"--help")])
def test_a_slip_is_told_with_what_was_meant(args, meant):
    done = convd(*args, check=False)
    assert done.returncode == USAGE and b": did you mean " + meant + b"?\n" in done.stderr, done.stderr


@pytest.mark.parametrize("args", [["frobnicate"], ["x"], ["--db"], ["train", "--colour"], ["serve", "--xy"]])
def test_what_is_near_to_nothing_is_not_guessed_at(args):
    done = convd(*args, check=False)
    assert done.returncode == USAGE and b"unknown" in done.stderr and b"did you mean" not in done.stderr


def test_the_overview_lists_every_verb():
    text = convd("--help").stdout.decode()
    assert all(re.search(rf"^  {verb} ", text, re.M) for verb in VERBS)


@pytest.mark.parametrize("args", [[], ["frobnicate"], ["--frobnicate"], ["serve", "extra"], ["init", "--width"],
                                  ["init", "--width", "x"],
                                  ["init", "--width", "0"], ["init", "--rate", "nan"],
                                  ["init", "--gradient", "steepest"],
                                  ["init", "--classes", "a,,b"], ["init", "--classes", "a,a"], ["train"], ["predict"],
                                  ["evaluate"],
                                  ["export"], ["snapshots", "eat"], ["snapshots", "drop"], ["snapshots", "drop", "x"],
                                  ["serve", "--threads", "0"], ["serve", "--body-bytes", "1X"],
                                  ["serve", "--listen", "nonsense"],
                                  ["predict", "--top", "0", "x.png"], ["train", "--db", "a", "--url", "http://b", "c"],
                                  ["init", "--kernel-width", "64", "--width", "8"]])
def test_a_wrong_command_line_exits_with_2_and_one_clear_line(tmp_path, args):
    done = convd(*args, check=False, cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr.startswith(b"convd") or not args
    assert list(tmp_path.iterdir()) == []


def test_every_flag_of_serve_can_come_from_the_environment(daemons):
    daemon = daemons.start(daemons.init(), env={"CONVD_BODY_BYTES": "100", "CONVD_LISTEN": "127.0.0.1:1"})
    daemon.post("/predict", bytes(101)).problem(413)


def test_the_command_line_wins_over_the_environment(daemons):
    daemon = daemons.start(daemons.init(), "--body-bytes", "64", env={"CONVD_BODY_BYTES": "10"})
    daemon.predict(bytes(64))


def test_a_wrong_environment_variable_is_named(daemons):
    code, text = daemons.make(daemons.init(), env={"CONVD_THREADS": "many"}).fails_to_start()
    assert code == USAGE and "CONVD_THREADS" in text


# ---- the daemon's URL ----

def daemons_verbs(tmp_path) -> dict[str, list]:
    """Every verb that a daemon can be asked, each in a way that tells an offline one from it: nothing is at convd.db."""
    (tmp_path / "set" / "7").mkdir(parents=True)
    (tmp_path / "set" / "7" / "7.png").write_bytes((EXAMPLES / "7.png").read_bytes())
    return {"train": [tmp_path / "set"], "predict": [EXAMPLES / "7.png"], "evaluate": [tmp_path / "set"], "samples": [], "snapshots": [],
            "export": ["--npz", "-"], "backup": [tmp_path / "copy.db"]}


@pytest.mark.core
def test_the_url_can_come_from_the_environment_and_db_wins(daemons, tmp_path):
    daemon = daemons.start(daemons.copy())
    empty = tmp_path / "empty.db"
    convd("init", "--db", empty)
    for verb, args in daemons_verbs(tmp_path).items():
        assert b"CONVD_URL" in convd(verb, "--help").stdout
        convd(verb, *args, env={"CONVD_URL": daemon.url}, cwd=tmp_path)
        offline = convd(verb, *args, env={"CONVD_URL": ""}, cwd=tmp_path, check=False)
        assert offline.returncode == DATABASE and b"convd.db" in offline.stderr, verb
    nowhere = {"CONVD_URL": "http://127.0.0.1:1"}
    assert len(convd_json("snapshots", "--db", empty, env=nowhere)["snapshots"]) == 1
    assert convd_json("snapshots", "--url", daemon.url, env=nowhere)["snapshots"]
    done = convd("snapshots", env={"CONVD_URL": "localhost:8080"}, check=False)
    assert done.returncode == USAGE and b"must begin with http://" in done.stderr


# ---- init ----

@pytest.mark.core
def test_init_by_the_documented_line_makes_the_default_model_but_for_its_rate(daemons, tmp_path):
    made = convd_json("init", "--db", tmp_path / "a.db", *(
        "--width 28 --height 28 --channels 1 --kernels 16 --kernel-width 5 --kernel-height 5 --stride 1 --hidden 128 "
        "--classes 0,1,2,3,4,5,6,7,8,9 --gradient diagonal --rate 0.05 --normalize std --mean 0 --seed 42 --rehearsal 8 --rehearsal-first 64 --rehearsal-idle 200 --rehearsal-buffer 2000 "
        "--jitter 1 --rotation 10 --output-rate 0.1 --imprint 5").split())
    assert (made["rate"], made["decay_steps"]) == (pytest.approx(0.05), 0)  # a rate that is given stays
    default = convd_json("init", "--db", tmp_path / "b.db")
    assert (default["rate"], default["decay_steps"]) == (pytest.approx(0.08), 120000)
    same = convd_json("init", "--db", tmp_path / "c.db", "--rate", "0.05")
    assert made["digest"] == same["digest"] != default["digest"]
    assert {**made, "db": "", "rate": 0, "decay_steps": 0, "digest": ""} == {**default, "db": "", "rate": 0, "decay_steps": 0, "digest": ""}
    assert made["parameters"] == 16 * 25 + 576 * 128 + 128 * 10 and made["revision"] == 1


@pytest.mark.parametrize("flags, said", [
    ((), "rate 0.08, half of it after 120000 steps; normalize std, mean 0"),
    (("--width", "8", "--height", "8", "--kernel-width", "3", "--kernel-height", "3"), "rate 0.16, half of it after 120000 steps; normalize std, mean 0"),
    (("--width", "24", "--height", "24", "--channels", "3"), "rate 0.029, half of it after 120000 steps; normalize std, mean 0"),
    (("--hidden", "512", "--decay-steps", "1000", "--mean", "0.2"), "rate 0.04, half of it after 1000 steps; normalize std, mean 0.2"),
    (("--normalize", "none"), "rate 0.08, half of it after 120000 steps; normalize none, mean 0.13"),
    (("--channels", "3", "--normalize", "none", "--rate", "0.1"), "rate 0.1; normalize none, mean 0.45")], ids=["default", "tiny", "colour", "wide", "as they are", "by hand"])
def test_init_tells_what_follows_from_the_geometry(tmp_path, flags, said):
    assert said in convd("init", "--db", tmp_path / "a.db", *flags).stdout.decode().splitlines()


def test_labels_can_have_commas_one_by_one(daemons, tmp_path):
    labels = ["kitchen, upstairs", "hall", ",", "é"]
    made = convd_json("init", "--db", tmp_path / "a.db", *(word for label in labels for word in ("--class", label)))
    assert made["classes"] == labels
    same = convd_json("init", "--db", tmp_path / "b.db", "--class=0", "--class=1", "--class=2")
    assert same["digest"] == convd_json("init", "--db", tmp_path / "c.db", "--classes", "0,1,2")["digest"]
    convd("export", "--db", tmp_path / "a.db", "--safetensors", tmp_path / "a.safetensors")
    other = convd("init", "--db", tmp_path / "d.db", "--from", tmp_path / "a.safetensors", "--class", "a,b", check=False)
    assert other.returncode == USAGE and b"--class has 1 classes, but w12 has 4 columns" in other.stderr
    assert daemons.start(tmp_path / "a.db").model()["classes"] == labels


def test_another_seed_makes_another_model(tmp_path):
    digests = {convd_json("init", "--db", tmp_path / f"{seed}.db", "--seed", seed)["digest"] for seed in "123"}
    assert len(digests) == 3


def test_init_refuses_a_file_that_is_there(daemons):
    db = daemons.copy()
    before = db.read_bytes()
    done = convd("init", "--db", db, check=False)
    assert done.returncode in (FAILED, DATABASE) and db.name.encode() in done.stderr
    assert db.read_bytes() == before


def test_init_from_a_file_refuses_what_contradicts_it(daemons, trained_db, tmp_path):
    path = tmp_path / "m.safetensors"
    convd("export", "--db", trained_db, "--safetensors", path)
    for flags in (["--kernels", "8"], ["--hidden", "64"], ["--width", "30"], ["--classes", "a,b"]):
        done = convd("init", "--db", tmp_path / "x.db", "--from", path, *flags, check=False)
        assert done.returncode == USAGE and flags[0].encode() in done.stderr


# ---- train and evaluate ----

@pytest.mark.core
def test_training_makes_evaluation_better_offline_and_through_a_daemon(daemons, digits, tmp_path):
    for name in ("offline", "url"):
        db = daemons.directory / f"{name}.db"
        convd("init", "--db", db)
        target = place(db) if name == "offline" else place(daemons.start(db))
        files = write_idx(tmp_path, digits.images[:400], digits.labels[:400])
        before = convd_json("evaluate", *target, *digits.test_files, "--quiet")
        trained = convd_json("train", *target, *files, "--quiet")
        after = convd_json("evaluate", *target, *digits.test_files, "--quiet")
        assert trained["samples"] == 400 and trained["step"] > 9 * 400  # a new model rehearses
        assert after["accuracy"] > before["accuracy"] + 0.2
        assert after["samples"] == len(digits.test_labels)
        assert sum(map(sum, after["confusion"])) == after["samples"]
        assert after["errors"] == after["samples"] - sum(after["confusion"][i][i] for i in range(10))
        assert after["accuracy"] == pytest.approx(1 - after["errors"] / after["samples"])
        assert len(after["digest"]) == 64 and after["digest"] != before["digest"]


def test_evaluate_says_the_same_offline_and_through_a_daemon(daemons, digits):
    db = daemons.copy()
    offline = convd_json("evaluate", "--db", db, *digits.test_files, "--quiet")
    online = convd_json("evaluate", *place(daemons.start(db)), *digits.test_files, "--quiet")
    for name in ("samples", "errors", "confusion", "classes", "step", "revision", "digest"):
        assert online[name] == offline[name]
    assert online["loss"] == pytest.approx(offline["loss"], abs=1e-6)


def test_later_passes_rehearse_what_the_first_put_into_the_log(daemons, digits, tmp_path):
    db = daemons.init("--width", "28", "--height", "28", "--classes", "0,1,2,3,4,5,6,7,8,9")
    files = write_idx(tmp_path, digits.images[:200], digits.labels[:200])
    trained = convd_json("train", "--db", db, *files, "--passes", "4", "--decay", "0.8", "--rate", "0.08", "--quiet")
    assert trained["passes"] == 4 and trained["samples"] == 200 and trained["step"] == 800
    verdict = convd_json("verify", "--db", db)
    assert verdict["ok"] is True and verdict["samples"] == 200
    daemon = daemons.start(db)
    assert daemon.digest() == verdict["digest"]
    assert daemon.model()["settings"]["rate"] == pytest.approx(0.08 * 0.8 ** 3, rel=1e-4)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzipped"])
def test_folders_train_as_idx_files_do(model, daemons, digits, tmp_path, compressed):
    import gzip
    images, labels = write_idx(tmp_path, digits.images[:20], np.zeros(20))
    if compressed:
        for path in (images, labels):
            path.write_bytes(gzip.compress(path.read_bytes()))
    folder = tmp_path / "folder" / "0"
    folder.mkdir(parents=True)
    for i, image in enumerate(digits.images[:20]):
        (folder / f"{i:03}.png").write_bytes(png(image))
    other = daemons.copy("other.db")
    convd("train", *place(model), images, labels, "--quiet")
    convd("train", "--db", other, folder.parent, "--quiet")
    digest = model.digest() if isinstance(model, Daemon) else convd_json("verify", "--db", model)["digest"]
    assert digest == convd_json("verify", "--db", other)["digest"]


def test_idx_images_of_another_size_are_fitted_as_pictures_are(model, daemons, digits, tmp_path):
    doubled = np.kron(digits.images[:10], np.ones((1, 2, 2), np.uint8))
    other = daemons.copy("other.db")
    convd("train", *place(model), *write_idx(tmp_path, doubled, digits.labels[:10]), "--quiet")
    convd("train", "--db", other, *write_idx(tmp_path, digits.images[:10], digits.labels[:10]), "--quiet")
    digest = model.digest() if isinstance(model, Daemon) else convd_json("verify", "--db", model)["digest"]
    assert digest == convd_json("verify", "--db", other)["digest"]


def untidy(folder, digits):
    """A folder of two classes as people have them; returns how many of its files are pictures."""
    for name in ("cross", "7", "notes", ".git"):
        (folder / name).mkdir(parents=True)
    for i in range(3):
        (folder / "cross" / f"{i}.png").write_bytes(png(digits.images[i]))
        (folder / "7" / f"{i}.jpg").write_bytes(jpeg(digits.images[3 + i]))
    (folder / "cross" / "0 first.txt").write_text("to be drawn again")
    (folder / "7" / "half.png").write_bytes(png(digits.images[9])[:60])
    (folder / "7" / "lost.png").symlink_to("nowhere")
    for name in ("7/.DS_Store", "7/._0.jpg", "cross/Thumbs.db", ".git/index"):
        (folder / name).write_bytes(b"\0\5\26\7")
    (folder / "notes" / "todo.txt").write_text("more sevens")
    return 6


@pytest.mark.core
def test_what_is_no_picture_in_a_folder_is_skipped_counted_and_told(model, digits, tmp_path):
    n = untidy(tmp_path / "set", digits)
    done = convd("train", *place(model), tmp_path / "set", "--add-classes", "--quiet", "--json")
    told = json.loads(done.stdout)
    assert (told["samples"], told["skipped"], told["hidden"]) == (n, 4, 4)
    for name in (b"cross/0 first.txt: ", b"7/half.png: ", b"7/lost.png: ", b"notes/todo.txt: "):
        assert name in done.stderr
    assert b'"notes"' not in done.stderr  # a class without a picture is none
    measured = convd("evaluate", *place(model), tmp_path / "set", "--json")
    told = json.loads(measured.stdout)
    assert (told["samples"], told["skipped"], told["hidden"]) == (n, 4, 4) and told["classes"][10:] == ["cross"]
    assert b"4 files were skipped (and 4 hidden)" in measured.stderr


def test_strict_ends_before_anything_was_added_or_learned(model, digits, tmp_path):
    untidy(tmp_path / "set", digits)
    before = convd_json("snapshots", *place(model)), convd(*["export", *place(model), "--safetensors", "-"]).stdout
    for verb in (["train", "--add-classes"], ["evaluate"]):
        done = convd(*verb, *place(model), tmp_path / "set", "--strict", check=False)
        assert done.returncode == FAILED and b"0 first.txt: " in done.stderr, done.stderr
    assert before == (convd_json("snapshots", *place(model)), convd(*["export", *place(model), "--safetensors", "-"]).stdout)


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_strict_beside_idx_files_is_refused(model, digits, verb):
    done = convd(verb, *place(model), *digits.test_files, "--strict", check=False)
    assert done.returncode == USAGE and b"--strict is for a folder" in done.stderr


def test_a_folder_without_a_picture_fails_and_adds_no_class(model, tmp_path):
    (tmp_path / "set" / "cross").mkdir(parents=True)
    (tmp_path / "set" / "cross" / "a.txt").write_text("a cross")
    for verb in (["train", "--add-classes"], ["evaluate"]):
        done = convd(*verb, *place(model), tmp_path / "set", check=False)
        assert done.returncode == FAILED and b"no file of" in done.stderr and b"a.txt: " in done.stderr


def test_a_folder_of_a_class_that_the_model_lacks_is_told_and_can_be_added(model, digits, tmp_path):
    folder = tmp_path / "set" / "cross"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png(digits.images[0]))
    (folder / "b.jpg").write_bytes(jpeg(digits.images[1]))
    done = convd("train", *place(model), folder.parent, "--quiet", check=False)
    assert done.returncode == FAILED and b"cross" in done.stderr and b"--add-classes" in done.stderr
    trained = convd_json("train", *place(model), folder.parent, "--add-classes", "--quiet")
    assert trained["samples"] == 2


@pytest.mark.parametrize("spoil", ["truncated", "not idx", "fewer labels", "missing", "truncated gzip"])
def test_a_data_set_that_is_none_is_refused_and_trains_nothing(model, digits, tmp_path, spoil):
    import gzip
    images, labels = write_idx(tmp_path, digits.images[:10], digits.labels[:10])
    if spoil == "truncated":
        images.write_bytes(images.read_bytes()[:-100])
    if spoil == "not idx":
        images.write_bytes(b"hello" * 100)
    if spoil == "fewer labels":
        _, labels = write_idx(tmp_path, digits.images[:9], digits.labels[:9], "other")
    if spoil == "missing":
        images.unlink()
    if spoil == "truncated gzip":
        images.write_bytes(gzip.compress(images.read_bytes())[:-200])
    done = convd("train", *place(model), images, labels, "--quiet", check=False)
    assert done.returncode == FAILED, done.stderr
    assert b"images.idx" in done.stderr or b"labels.idx" in done.stderr


def test_sigint_in_a_long_training_keeps_what_was_learned(daemons, digits, tmp_path):
    db = daemons.directory / "long.db"
    convd("init", "--db", db)
    many = np.resize(digits.images, (60000, 28, 28))
    files = write_idx(tmp_path, many, np.resize(digits.labels, 60000))
    process = subprocess.Popen([str(CONVD), "train", "--db", str(db), *map(str, files), "--passes", "50", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    wal = db.with_name(db.name + "-wal")
    until(lambda: wal.exists() and wal.stat().st_size > 100000, "the first samples")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    said = json.loads(out)
    assert said["interrupted"] is True and said["step"] > 0
    verdict = convd_json("verify", "--db", db)
    assert verdict["ok"] is True and verdict["step"] == said["step"]


def test_training_through_a_daemon_that_is_killed_and_restarted_trains_everything_once(daemons, digits, tmp_path):
    """The port must stay, so that the client finds the daemon again."""
    db = daemons.directory / "digits.db"
    convd("init", "--db", db, *words(PLAIN))
    daemon = daemons.make(db, "--listen", f"127.0.0.1:{lasting_port()}").start()
    files = write_idx(tmp_path, np.resize(digits.images, (20000, 28, 28)), np.resize(digits.labels, 20000))
    process = subprocess.Popen([str(CONVD), "train", "--url", daemon.url, *map(str, files), "--batch", "50", "--json",
                                "--quiet"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    try:
        until(lambda: daemon.model()["step"] >= 500, "the first samples")
        daemon.kill()
        daemon.start()
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 0, err
    assert json.loads(out)["samples"] == 20000
    assert daemon.model()["step"] == 20000


# ---- predict ----

@pytest.mark.core
def test_predict_prints_a_line_for_each_picture(model, seven, digits, tmp_path):
    paths = [tmp_path / "seven.png", tmp_path / "one.jpg"]
    paths[0].write_bytes(png(seven))
    paths[1].write_bytes(jpeg(digits.one(1)))
    lines = convd("predict", *place(model), *paths).stdout.decode().splitlines()
    assert len(lines) == 2
    for path, line in zip(paths, lines):
        assert re.fullmatch(re.escape(str(path)) + r": \d 0\.\d+|" + re.escape(str(path)) + r": \d 1\.0+", line)
    said = convd_json("predict", *place(model), paths[0], "--top", "3")
    [prediction] = said["predictions"]
    assert len(prediction["probabilities"]) == 3 and prediction["label"] == lines[0].split(": ")[1].split()[0]


def test_predict_says_the_same_offline_and_through_a_daemon(daemons, seven, tmp_path):
    path = tmp_path / "seven.png"
    path.write_bytes(png(np.kron(seven, np.ones((3, 3), np.uint8))))
    db = daemons.copy()
    offline = convd_json("predict", "--db", db, path, "--top", "10")
    online = convd_json("predict", *place(daemons.start(db)), path, "--top", "10")
    assert offline["predictions"][0]["label"] == online["predictions"][0]["label"]
    for label, p in offline["predictions"][0]["probabilities"].items():
        assert online["predictions"][0]["probabilities"][label] == pytest.approx(p, abs=1e-7)


def test_the_limit_of_pixels_is_a_flag_of_each_verb_that_reads_pictures(daemons, seven, tmp_path):
    path = tmp_path / "set" / "7" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(png(np.kron(seven, np.ones((3, 3), np.uint8))))
    db = daemons.copy()
    for verb in (["predict", path], ["train", path.parent.parent, "--strict"], ["evaluate", path.parent.parent, "--strict"]):
        convd(*verb, "--db", db, "--image-pixels", str(84 * 84))
        done = convd(*verb, "--db", db, "--image-pixels", str(84 * 84 - 1), check=False)
        assert done.returncode == FAILED and b"84 x 84" in done.stderr and b"--image-pixels" in done.stderr


def test_a_picture_that_cannot_be_read_is_told_and_the_others_are_predicted(model, seven, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(seven))
    bad.write_bytes(png(seven)[:-40])
    done = convd("predict", *place(model), bad, tmp_path / "missing.png", good, check=False)
    assert done.returncode == FAILED
    assert b"bad.png" in done.stderr and b"missing.png" in done.stderr
    assert b"good.png: " in done.stdout


@pytest.mark.core
def test_predict_takes_every_picture_below_a_folder_and_counts_what_is_none(model, digits, tmp_path):
    untidy(tmp_path / "set", digits)
    (tmp_path / "set" / "loose.png").write_bytes(png(digits.images[8]))
    (tmp_path / "set" / "notes" / "of old").mkdir()
    (tmp_path / "set" / "notes" / "of old" / "deep.png").write_bytes(png(digits.images[9]))
    (tmp_path / "set" / "cross" / "round").symlink_to(tmp_path / "set")  # not walked for ever
    names = ["7/0.jpg", "7/1.jpg", "7/2.jpg", "cross/0.png", "cross/1.png", "cross/2.png", "loose.png", "notes/of old/deep.png"]
    paths = [str(tmp_path / "set" / name) for name in names]
    done = convd("predict", *place(model), tmp_path / "set")
    assert done.stdout == convd("predict", *place(model), *paths).stdout
    assert b"4 files were skipped (and 4 hidden)" in done.stderr
    for name in (b"cross/0 first.txt: ", b"7/half.png: ", b"7/lost.png: ", b"notes/todo.txt: "):
        assert done.stderr.count(name) == 1
    told = convd_json("predict", *place(model), f"{tmp_path}/set/")
    assert [row["file"] for row in told["predictions"]] == paths and all("label" in row for row in told["predictions"])
    assert (told["skipped"], told["hidden"]) == (4, 4)


def test_predict_strict_ends_at_the_first_file_that_is_no_picture(model, digits, tmp_path):
    untidy(tmp_path / "set", digits)
    done = convd("predict", *place(model), "--strict", tmp_path / "set", check=False)
    assert done.returncode == FAILED and b"7/half.png: " in done.stderr and b"skipped" not in done.stderr
    assert done.stdout.count(b"\n") == 3 and b"cross" not in done.stdout
    good, stray = tmp_path / "set" / "cross" / "0.png", tmp_path / "set" / "notes" / "todo.txt"
    done = convd("predict", *place(model), "--strict", stray, good, check=False)
    assert done.returncode == FAILED and b"todo.txt: " in done.stderr and done.stdout == b""


def test_predict_says_so_where_a_folder_holds_no_picture(model, seven, tmp_path):
    (tmp_path / "good.png").write_bytes(png(seven))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("a cross")
    done = convd("predict", *place(model), tmp_path / "none", tmp_path / "good.png", check=False)
    assert done.returncode == FAILED and b"there is no picture in " in done.stderr and b"a.txt: " in done.stderr
    assert b"good.png: " in done.stdout


def test_the_example_pictures_are_read(trained_db):
    paths = [EXAMPLES / f"{i}.png" for i in range(10)]
    lines = convd("predict", "--db", trained_db, *paths).stdout.decode().splitlines()
    assert sum(line.split(": ")[1].startswith(str(i)) for i, line in enumerate(lines)) >= (6 if SANITIZED else 8), lines


# ---- export, snapshots, verify ----

@pytest.mark.core
def test_export_writes_what_the_daemon_serves(daemons, tmp_path):
    db = daemons.copy()
    convd("export", "--db", db, "--safetensors", tmp_path / "a.safetensors", "--kernels", tmp_path / "a.png")
    daemon = daemons.start(db)
    convd("export", "--url", daemon.url, "--safetensors", tmp_path / "b.safetensors", "--kernels", tmp_path / "b.png")
    for kind, path in (("safetensors", "/model.safetensors"), ("png", "/model/kernels.png")):
        served = daemon.get(path).body
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes() == served


def test_export_to_stdout_is_only_the_file(model):
    tensors, _ = read_safetensors(convd("export", *place(model), "--safetensors", "-").stdout)
    assert set(tensors) == {"kernels", "w01", "w12"}
    Image.open(io.BytesIO(convd("export", *place(model), "--kernels", "-").stdout)).load()


def writers(model) -> list[list]:
    """Every verb that writes a file, but for its name."""
    exports = [["export", *place(model), f"--{kind}"] for kind in ("safetensors", "onnx", "npz", "kernels")]
    return [*exports, ["samples", "show", "1", *place(model), "--image"]]


@pytest.mark.core
def test_no_verb_writes_over_a_database_or_a_part_of_one(model, daemons, tmp_path):
    db = model.db if isinstance(model, Daemon) else model
    (tmp_path / "link.db").symlink_to(db)
    files = [db, tmp_path / "link.db", *(db.with_name(db.name + part) for part in ("-wal", "-shm", "-journal"))]
    before = {file: file.read_bytes() for file in files if file.exists()}
    for file in files:
        tries = [[*verb, file, *force] for verb in writers(model) for force in ([], ["--force"])]
        for args in [*tries, ["backup", file, *place(model)]]:
            done = convd(*args, check=False)
            assert done.returncode == FAILED and (b"SQLite" in done.stderr or args[0] == "backup"), args
    assert {file: file.read_bytes() for file in files if file.exists()} == before
    assert (tmp_path / "link.db").is_symlink()
    if isinstance(model, Daemon):
        assert model.get("/readyz").status == 200
        model.stop()
    convd("verify", "--db", db)


def test_a_file_that_is_there_is_written_over_with_force_alone(model, tmp_path):
    mine = tmp_path / "mine"
    for verb in writers(model):
        mine.write_text("mine")
        done = convd(*verb, mine, check=False)
        assert done.returncode == FAILED and b"overwrite it with --force" in done.stderr
        assert mine.read_text() == "mine"
        convd(*verb, mine, "--force")
        assert mine.read_bytes()[:4] != b"mine"
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine"]
    twice = convd("export", *place(model), "--onnx", tmp_path / "x", "--npz", tmp_path / "x", check=False)
    assert twice.returncode == USAGE and b"the same file" in twice.stderr
    assert not (tmp_path / "x").exists()


def test_pipes_and_devices_are_written_as_they_are(model, tmp_path):
    export = ["export", *place(model), "--safetensors"]
    file = convd(*export, "-").stdout
    assert convd(*export, "/dev/stdout").stdout == file
    with (tmp_path / "out").open("w+b") as out:
        subprocess.run([CONVD, *export, "/dev/stdout"], stdout=out, check=True, env=clean_environment())
    assert (tmp_path / "out").read_bytes() == file
    convd(*export, "/dev/null")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen([CONVD, *export, fifo], stdout=subprocess.DEVNULL, env=clean_environment())
    assert fifo.read_bytes() == file and writer.wait(30) == 0
    assert fifo.is_fifo()


@pytest.mark.core
def test_a_snapshot_is_pinned_and_released(model):
    pinned = convd_json("snapshots", *place(model), "pin", "2", "--note", "the good one")
    assert pinned["id"] == 2 and pinned["pinned"] is True and pinned["note"] == "the good one"
    assert convd_json("snapshots", *place(model))["snapshots"][1] == pinned
    assert convd("snapshots", *place(model), "drop", "2", check=False).returncode == FAILED
    assert convd_json("snapshots", *place(model), "unpin", "2") == {**pinned, "pinned": False}
    assert convd("snapshots", *place(model), "unpin", "1", check=False).returncode == FAILED, "of the creation"


@pytest.mark.core
def test_snapshots_are_taken_listed_activated_and_dropped(model, digits, tmp_path):
    def listed() -> list[dict]:
        return convd_json("snapshots", *place(model))["snapshots"]
    before = listed()
    convd("snapshots", *place(model), "take", "--note", "before the test", "--pin")
    taken = listed()[-1]
    assert len(listed()) == len(before) + 1
    assert taken["note"] == "before the test" and taken["pinned"] is True
    convd("train", *place(model), *write_idx(tmp_path, digits.images[:20], digits.labels[:20]), "--quiet")
    assert convd("snapshots", *place(model), "drop", str(taken["id"]), check=False).returncode == FAILED
    convd("snapshots", *place(model), "activate", str(taken["id"]))
    evaluated = convd_json("evaluate", *place(model), *digits.test_files, "--quiet")
    assert evaluated["digest"] == taken["digest"]
    convd("snapshots", *place(model), "take")
    last = listed()[-1]["id"]
    convd("snapshots", *place(model), "drop", str(last))
    assert last not in [s["id"] for s in listed()]
    assert convd("snapshots", *place(model), "activate", "999999", check=False).returncode == FAILED
    assert "before the test" in convd("snapshots", *place(model), "list").stdout.decode()


def test_verify_agrees_with_the_daemon_that_was_stopped(daemon: Daemon, digits):
    daemon.train("7", digits.test_images[:10].tobytes()).ok()
    model = daemon.model()
    daemon.stop()
    verdict = convd_json("verify", "--db", daemon.db)
    assert verdict["ok"] is True
    assert all(verdict[name] == model[name] for name in ("digest", "revision", "step"))
    text = convd("verify", "--db", daemon.db).stdout.decode()
    assert model["digest"] in text


# ---- --json ----

@pytest.mark.core
def test_every_verb_has_json(tmp_path):
    for verb in VERBS[1:]:
        assert b"\n  --json " in convd(verb, "--help").stdout, verb


@pytest.mark.core
def test_json_says_the_same_to_the_last_digit_offline_and_through_a_daemon(daemons, digits, tmp_path):
    """Each verb in turn on two copies of a model; what a clock tells, and what it is called, are other."""
    folder = tmp_path / "set"
    for i in range(12):
        (folder / str(digits.labels[i])).mkdir(parents=True, exist_ok=True)
        (folder / str(digits.labels[i]) / f"{i}.png").write_bytes(png(digits.images[i]))
    (folder / "no.txt").write_text("no picture")
    files = write_idx(tmp_path, digits.images[:300], digits.labels[:300])
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(digits.test_images[:30]):
        (tmp_path / "pictures" / f"{i:02}.png").write_bytes(png(image))
    first, second = (str((500 if SANITIZED else len(digits.labels)) + n) for n in (20, 21))  # of those that are trained here
    steps = [["evaluate", *digits.test_files], ["predict", tmp_path / "pictures", "--top", "10"], ["predict", folder, "--unknown", "0.3"], ["train", *files, "--quiet"],
             ["train", folder, "--quiet"], ["evaluate", folder], ["predict", tmp_path / "pictures", "--top", "3"],
             ["samples", "list", "--wrong"], ["samples", "show", "4"], ["samples", "forget", first, "--quiet"], ["samples", "relabel", second, "--label", "3", "--quiet"],
             ["samples", "relabel", second, "--label", "3", "--quiet"], ["snapshots", "diff", "1", "2"], ["snapshots", "pin", "2", "--note", "n"],
             ["export", *(word for kind in ("safetensors", "onnx", "npz", "kernels") for word in (f"--{kind}", tmp_path / kind)), "--force"],
             ["train", "--passes", "2", "--quiet"]]  # in events of some milliseconds each: how many, a clock tells
    told = {}
    for name in ("offline", "url"):
        db = daemons.copy(f"{name}.db")
        target = place(db) if name == "offline" else place(daemons.start(db))
        told[name] = [convd(*step, *target, "--json", check=False).stdout.decode() for step in steps]
    clock = r'"(seconds|steps_per_second|created)":\t(?:"[^"]*"|[^,\n]*)'
    for step, offline, online in zip(steps, told["offline"], told["url"]):
        assert len(json.loads(offline)) > 0 and '"error"' not in offline, step
        masked = clock.replace("seconds", "seconds|revision", 1) if "--passes" in step else clock
        assert re.sub(masked, r"\1", offline) == re.sub(masked, r"\1", online), step


def test_json_has_the_same_members_where_a_daemon_takes_other_snapshots(daemons):
    names = {}
    for where in ("offline", "url"):
        db = daemons.copy(f"{where}.db")
        target = place(db) if where == "offline" else place(daemons.start(db))
        told = [convd_json(*step, *target) for step in (["backup", daemons.directory / f"{where}-copy.db"], ["snapshots", "take", "--note", "n"], ["snapshots", "list"],
                                                        ["snapshots", "unpin", "2"], ["snapshots", "activate", "2"], ["snapshots", "drop", "3"])]
        names[where] = [re.findall(r'"(\w+)":', json.dumps({**answer, "snapshots": answer["snapshots"][-1:]} if "snapshots" in answer else answer)) for answer in told]
    assert names["offline"] == names["url"] and len(names["url"][0]) >= 4


def test_export_json_is_not_mixed_with_a_file(model, tmp_path):
    done = convd("export", *place(model), "--npz", "-", "--json", check=False)
    assert done.returncode == USAGE and b"--json goes to stdout" in done.stderr
    told = convd_json("export", *place(model), "--npz", tmp_path / "a.npz")
    assert told == {"files": [{"format": "npz", "file": str(tmp_path / "a.npz"), "bytes": (tmp_path / "a.npz").stat().st_size}]}


# ---- what can be wrong around a verb ----

@pytest.mark.parametrize("args", [["verify"], ["evaluate", "{images}", "{labels}"], ["train", "{images}", "{labels}"],
                                  ["predict", "x.png"],
                                  ["export", "--safetensors", "-"], ["snapshots"]])
def test_a_missing_database_exits_with_3_and_is_not_made(digits, tmp_path, args):
    words = [a.format(images=digits.test_files[0], labels=digits.test_files[1]) for a in args]
    done = convd(words[0], "--db", tmp_path / "none.db", *words[1:], check=False)
    assert done.returncode == DATABASE and b"none.db" in done.stderr
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("args", [["evaluate", "{images}", "{labels}"], ["train", "{images}", "{labels}"],
                                  ["export", "--safetensors", "-"],
                                  ["snapshots"]])
def test_a_daemon_that_is_not_there_exits_with_4(digits, args):
    words = [a.format(images=digits.test_files[0], labels=digits.test_files[1]) for a in args]
    done = convd(words[0], "--url", "http://127.0.0.1:1", *words[1:], check=False)
    assert done.returncode == NETWORK and b"127.0.0.1" in done.stderr


def test_a_url_that_is_no_convd_is_told(tmp_path):
    import http.server
    import threading
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *args: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = convd("snapshots", "--url", f"http://127.0.0.1:{server.server_port}", check=False)
        assert done.returncode in (FAILED, NETWORK) and done.stderr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- what is quoted ----

NASTY = "a\x1b]0;owned\x07\x1b[31m\r\nconvd: all is well\x7f\u009b2J é"  # it sets a title and a colour, begins a line, clears the screen


def is_harmless(done) -> bool:
    said = (done.stdout + done.stderr).decode()
    return said != "" and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]|^convd: all", said, re.M)


def test_control_characters_in_names_and_notes_do_not_reach_a_terminal(model, seven, tmp_path):
    good, bad, folder = tmp_path / f"{NASTY}.png", tmp_path / f"{NASTY}.txt", tmp_path / "set"
    good.write_bytes(png(seven))
    bad.write_text("no picture")
    (folder / NASTY).mkdir(parents=True)
    (folder / NASTY / "a.png").write_bytes(png(seven))
    for args in (["predict", good], ["predict", bad], ["predict", good, bad, "--json"], ["train", "--add-classes", folder], ["export", "--npz", good, "--force"],
                 ["backup", tmp_path / NASTY], ["snapshots", "take", "--note", NASTY], ["snapshots", "list"], ["snapshots", "list", "--json"],
                 ["snapshots", "take", "--json", "--note", NASTY], ["samples", "list", "--label", NASTY], ["evaluate", folder]):
        assert is_harmless(convd(*args, *place(model), check=False)), args
    for args in ([NASTY], ["help", NASTY], ["train", f"--{NASTY}"], ["verify", "--db", tmp_path / NASTY], ["init", "--db", tmp_path / f"b{NASTY}"]):
        assert is_harmless(convd(*args, check=False)), args
    good.write_bytes(png(seven))
    assert convd_json("predict", *place(model), good)["predictions"][0]["file"] == str(good)
    assert convd_json("snapshots", *place(model))["snapshots"][-1]["note"] == NASTY


def test_what_a_server_says_does_not_reach_a_terminal_either():
    import http.server
    import threading

    class Hostile(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status = 200 if self.path == "/snapshots" else 422
            body = json.dumps({"snapshots": [{"id": 1, "created": NASTY, "reason": NASTY, "note": NASTY}], "title": NASTY, "detail": NASTY, "pointer": NASTY})
            self.send_response(status, NASTY[:1])
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PATCH = do_GET

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for args in (["snapshots"], ["snapshots", "--json"], ["snapshots", "pin", "1"], ["samples"], ["samples", "show", "1"], ["train", "--passes", "2"]):
            assert is_harmless(convd(*args, "--url", f"http://127.0.0.1:{server.server_port}", check=False)), args
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_closed_or_full_stdout_is_not_success(trained_db):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(CONVD), "snapshots", "--db", str(trained_db), "--json"], stdout=full,
                              stderr=subprocess.PIPE,
                              env=clean_environment())
    assert done.returncode == FAILED and done.stderr
