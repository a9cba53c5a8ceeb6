"""GET, POST, PATCH /classes: the class table while the daemon runs."""
from urllib.parse import quote

import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .pictures import EXAMPLES, FORM, form, png
from .reference import read_safetensors


def test_the_list_has_every_class_with_its_counts(daemon: Daemon, seven):
    before = daemon.get("/classes").ok()["classes"]
    assert [c["label"] for c in before] == [str(i) for i in range(10)]
    assert [c["index"] for c in before] == list(range(10))
    predicted = daemon.predict(seven.tobytes())["label"]
    daemon.train("7", seven.tobytes()).ok()
    after = daemon.get("/classes").ok()["classes"]
    assert after[7]["seen"] == before[7]["seen"] + 1
    assert after[7]["correct"] == before[7]["correct"] + (predicted == "7")
    assert after[int(predicted)]["predicted"] == before[int(predicted)]["predicted"] + 1


@pytest.mark.core
def test_a_class_is_added_while_the_daemon_runs(daemon: Daemon, seven):
    before = daemon.model()
    answer = daemon.send_json("POST", "/classes", {"label": "x"})
    said = answer.ok(201)
    assert said["label"] == "x" and said["index"] == 10
    assert said["revision"] == before["revision"] + 1
    assert answer.header("ETag") == f'"r{said["revision"]}"'
    assert answer.header("Location")
    assert daemon.labels() == [str(i) for i in range(10)] + ["x"]
    assert list(daemon.predict(seven.tobytes())["probabilities"]) == daemon.labels()
    assert daemon.model()["n_2"] == 11


@pytest.mark.core
def test_a_new_class_can_be_learned(daemon: Daemon, digits):
    daemon.send_json("POST", "/classes", {"label": "cross"}).ok(201)
    cross = np.zeros((28, 28), np.uint8)
    for i in range(4, 24):
        cross[i, i] = cross[i, i - 1] = cross[i, 27 - i] = cross[i, 28 - i] = 255
    for _ in range(40):
        daemon.train("cross", cross.tobytes()).ok()
    assert daemon.predict(cross.tobytes())["label"] == "cross"
    answer = daemon.predict(digits.test_images[:100].tobytes())
    right = sum(p["label"] == str(l) for p, l in zip(answer["predictions"], digits.test_labels))
    assert right > 50, "the other classes were forgotten"


def test_adding_a_class_leaves_all_other_weights_as_they_were(daemon: Daemon):
    before, _ = read_safetensors(daemon.get("/model.safetensors").body)
    daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)
    after, _ = read_safetensors(daemon.get("/model.safetensors").body)
    assert (after["kernels"] == before["kernels"]).all() and (after["w01"] == before["w01"]).all()
    assert after["w12"].shape == (128, 11)
    assert (after["w12"][:, :10] == before["w12"]).all()


def test_more_classes_than_fit_into_one_vector_can_be_added(small: Daemon, noise):
    image = noise.integers(0, 256, (8, 8), np.uint8)
    for i in range(40):
        small.send_json("POST", "/classes", {"label": f"n{i}"}).ok(201)
        small.train(f"n{i}", image.tobytes()).ok()
    prediction = small.predict(image.tobytes())
    assert len(prediction["probabilities"]) == 43
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    digest = small.digest()
    small.kill()
    small.start()
    assert small.digest() == digest


def test_a_class_that_is_there_is_not_added_again(reader: Daemon):
    reader.send_json("POST", "/classes", {"label": "7"}).problem(409, "conflict")


@pytest.mark.core
def test_a_class_is_renamed_and_keeps_what_it_learned(daemon: Daemon, seven):
    before = daemon.predict(seven.tobytes())["probabilities"]
    daemon.send_json("PATCH", "/classes", {"from": "7", "to": "sept"}).ok()
    assert daemon.labels() == ["0", "1", "2", "3", "4", "5", "6", "sept", "8", "9"]
    after = daemon.predict(seven.tobytes())["probabilities"]
    assert list(after.values()) == list(before.values())
    daemon.train("sept", seven.tobytes()).ok()
    daemon.train("7", seven.tobytes()).problem(422, "label-unknown")


def test_a_rename_onto_another_class_is_refused(reader: Daemon):
    reader.send_json("PATCH", "/classes", {"from": "7", "to": "8"}).problem(409, "conflict")


def test_a_rename_of_no_class_is_refused(reader: Daemon):
    reader.send_json("PATCH", "/classes", {"from": "x", "to": "y"}).problem((404, 422), pointer="/from")


def test_classes_survive_kill_9(small: Daemon):
    small.send_json("POST", "/classes", {"label": "d"}).ok(201)
    small.send_json("PATCH", "/classes", {"from": "a", "to": "ä"}).ok()
    before = small.model()
    small.kill()
    small.start()
    assert small.labels() == ["ä", "b", "c", "d"]
    assert small.model() == before


@pytest.mark.parametrize("body, pointer", [({}, "/label"), ({"label": 7}, "/label"), ({"label": None}, "/label"),
                                           ({"lable": "x"}, "/label"), ({"label": "x", "more": 1}, "/label")])
def test_a_class_body_of_another_form_is_refused(reader: Daemon, body, pointer):
    reader.send_json("POST", "/classes", body).problem(422, pointer=pointer)


def test_the_stated_limit_of_classes_is_kept(daemons):
    daemon = daemons.start(daemons.init("--classes", ",".join(f"c{i}" for i in range(1023))))
    daemon.send_json("POST", "/classes", {"label": "the last"}).ok(201)
    before = daemon.model()
    daemon.send_json("POST", "/classes", {"label": "one too many"}).problem(422, "limit")
    assert daemon.model() == before


def test_clients_that_add_the_same_class_at_once_add_it_once(small: Daemon):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: small.send_json("POST", "/classes", {"label": "new"}), range(16)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 15
    assert small.labels() == ["a", "b", "c", "new"]


# ---- labels that look the same ----

C, D = "caf\u00e9", "cafe\u0301"  # normal forms C and D


@pytest.mark.core
@pytest.mark.parametrize("first, second", [(C, D), (D, C), ("\u2764\ufe0f", "\u2764")])
def test_labels_that_look_the_same_are_one_class_whoever_names_it(daemon: Daemon, seven, first, second):
    label = daemon.send_json("POST", "/classes", {"label": first}).ok(201)["label"]
    assert label == daemon.labels()[-1] and label in (C, "\u2764")
    daemon.send_json("POST", "/classes", {"label": second}).problem(409, "conflict", "/label")
    image = {"pixels": seven.ravel().tolist()}
    for name in (first, second):
        daemon.train(name, seven.tobytes()).ok()
        daemon.train("7", seven.tobytes()).ok()
        daemon.post("/train?labels=" + quote(f"7,{name}"), seven.tobytes() * 2).ok()
        daemon.post("/train", form((name, "a.png", png(seven))), FORM).ok()
        daemon.send_json("POST", "/train", {"label": name, "image": image}).ok()
        daemon.send_json("POST", "/train", {"samples": [{"label": name, "image": image}]}).ok()
    assert daemon.get("/classes").ok()["classes"][-1]["seen"] == 10
    for name in (first, second):
        samples = daemon.get("/samples?label=" + quote(name)).ok()["samples"]
        assert {s["label"] for s in samples} == {label} and len(samples) == 10
    daemon.send_json("PATCH", "/samples/2", {"label": second}).ok(202)
    told = daemon.post("/predict?remember=1", seven.tobytes()).ok()
    daemon.send_json("POST", f"/predictions/{told['id']}/label", {"label": second}).ok()
    daemon.send_json("PATCH", "/classes", {"from": second, "to": "x"}).ok()
    daemon.send_json("PATCH", "/classes", {"from": "x", "to": second}).ok()
    assert daemon.labels()[-1] == label


def test_what_nobody_can_see_is_refused_by_name(daemon: Daemon, seven):
    for label, named in (("\ufeff7", "U+FEFF (byte order mark) at byte 0"), ("7\u200b", "U+200B (zero width space) at byte 1"),
                         ("a\u202eb", "U+202E (direction mark) at byte 1"), ("a\u00a0b", "U+00A0 at byte 1"),
                         ("c\u200dat", "U+200D (zero width joiner) at byte 1")):
        problem = daemon.send_json("POST", "/classes", {"label": label}).problem(422, "label-invalid", "/label")
        assert named in problem["detail"]
        assert named in daemon.train(label, seven.tobytes()).problem(422, "label-invalid")["detail"]
    for label in ("\U0001f469\u200d\U0001f33e", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"):  # a farmer; Persian
        daemon.send_json("POST", "/classes", {"label": label}).ok(201)


def test_both_forms_name_one_class_on_the_command_line(daemons, seven, tmp_path):
    db = daemons.directory / "forms.db"
    convd("init", "--db", db, "--classes", f"{D},b")
    for name in (C, D):  # two folders, one class
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / f"{len(name)}.png").write_bytes(png(seven))
    assert convd_json("train", "--db", db, tmp_path / "set")["samples"] == 2
    for name in (C, D):
        assert len(convd_json("samples", "list", "--db", db, "--label", name)["samples"]) == 2
    twice = convd("init", "--db", daemons.directory / "twice.db", "--classes", f"{C},{D}", check=False)
    assert twice.returncode != 0 and b"two classes" in twice.stderr
    model = convd("export", "--db", db, "--safetensors", tmp_path / "m.safetensors") and (tmp_path / "m.safetensors").read_bytes()
    assert C.encode() in model and D.encode() not in model
    longer = model.replace(C.encode(), D.encode())  # as another tool might have written it
    n = int.from_bytes(model[:8], "little") + 1
    (tmp_path / "d.safetensors").write_bytes(n.to_bytes(8, "little") + longer[8:])
    convd("init", "--db", daemons.directory / "from.db", "--from", tmp_path / "d.safetensors", "--width", "28", "--height", "28")
    assert daemons.start(daemons.directory / "from.db").model()["classes"] == [C, "b"]


# ---- a model without a class ----

@pytest.fixture
def empty(daemons):
    convd("init", "--db", daemons.directory / "empty.db", "--no-classes", "--rehearsal-idle", "0")
    return daemons.start(daemons.directory / "empty.db")


@pytest.mark.core
def test_a_model_without_a_class_serves_says_what_would_help_and_learns(empty, digits):
    image = digits.one(7).tobytes()
    assert (empty.model()["classes"], empty.model()["n_2"]) == ([], 0)
    for query in ("", "?known=1", "?unknown=0.5", "?explain=1", "?remember=1", "?top=3", "?revision=1"):
        told = empty.post(f"/predict{query}", image).problem(409)
        assert "the model has no class yet" in told["detail"] and "POST /classes" in told["detail"]
    assert "no class yet; add it with POST /classes" in empty.post("/train?label=7", image).problem(422)["detail"]
    for path in ("/stats", "/metrics", "/classes", "/model.safetensors", "/model.onnx", "/model.npz", "/model/kernels.png", "/predictions", "/v2/models/empty"):
        assert empty.get(path).status == 200, path
    empty.kill()
    empty.start()
    for label in ("7", "1"):
        empty.send_json("POST", "/classes", {"label": label}).ok(201)
        empty.post(f"/train?label={label}", digits.one(int(label)).tobytes()).ok()
    assert [empty.predict(digits.one(label).tobytes())["label"] for label in (7, 1)] == ["7", "1"]
    digest = empty.digest()
    empty.kill()
    assert empty.start().digest() == digest
    empty.stop()
    assert convd_json("verify", "--db", empty.db)["digest"] == digest


def test_a_model_without_a_class_is_taught_alike_from_the_command_line_by_url_and_from_its_export(empty, digits, daemons, tmp_path):
    files = [*digits.test_files, "--limit", "100", "--quiet"]
    other = tmp_path / "other.db"
    convd("export", "--url", empty.url, "--safetensors", tmp_path / "m.safetensors")
    assert convd_json("init", "--db", other, "--from", tmp_path / "m.safetensors")["classes"] == []
    for verb, says in ((["predict", EXAMPLES / "7.png"], b"the model has no class yet"), (["evaluate", *files], b'unknown label "0"'), (["train", *files], b"--add-classes")):
        for place in (["--db", other], ["--url", empty.url]):
            done = convd(*verb, *place, check=False)
            assert done.returncode == 1 and says in done.stderr
    for place in (["--db", other], ["--url", empty.url]):
        convd("train", *files, *place, "--add-classes")
    assert convd_json("verify", "--db", other)["digest"] == empty.digest()


def test_going_back_to_no_class_and_deleting_the_only_one(empty, digits):
    image = digits.one(7).tobytes()
    empty.send_json("POST", "/classes", {"label": "a"}).ok(201)
    empty.post("/train?label=a", image).ok()
    job = empty.request("PATCH", "/classes", b'{"delete": "a"}', {"Content-Type": "application/json", "Prefer": "wait=25"}).ok()
    assert job["state"] == "done" and empty.model()["classes"] == []
    empty.post("/predict", image).problem(409)
    empty.send_json("POST", "/classes", {"label": "b"}).ok(201)
    empty.post("/train?label=b", image).ok()
    empty.post("/snapshots/1/activate", b"").ok()
    empty.post("/predict", image).problem(409)
    empty.stop()
    assert convd_json("verify", "--db", empty.db)["ok"] is True
