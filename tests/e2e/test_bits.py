"""The same events give the same bits: on two daemons, on every instruction set, through the wire or offline."""
from pathlib import Path

import numpy as np
import pytest

from .daemon import CONVD, Daemon, convd, convd_json
from .pictures import write_idx
from .reference import read_safetensors, write_safetensors


def available_ariths(directory) -> list[str]:
    """Those that this machine can run: a verb refuses the others as a usage error."""
    db = directory / "arith.db"
    convd("init", "--db", db, "--width", "4", "--height", "4", "--kernel-width", "2", "--kernel-height", "2",
          "--hidden", "4")
    names = ["x86-64-v4", "x86-64-v3", "aarch64", "portable"]
    return [name for name in names if convd("verify", "--db", db, "--arith", name, check=False).returncode == 0]


def new_model(daemons, name: str):
    """As it is by default, but for what is done when idle: how much depends on the time."""
    db = daemons.directory / f"{name}.db"
    convd("init", "--db", db, "--rehearsal-idle", "0")
    return db


def train_a_little(daemon: Daemon, digits, n: int = 60) -> None:
    """One of each kind of event, single samples and batches."""
    labels = [str(label) for label in digits.test_labels]
    with daemon.client() as client:
        for i in range(n // 2):
            client.train(labels[i], digits.test_images[i].tobytes()).ok()
        client.send_json("POST", "/classes", {"label": "x"}).ok(201)
        client.train("x", digits.test_images[0].tobytes()).ok()
        client.send_json("PATCH", "/model", {"rate": 0.02, "gradient": "jacobian"}).ok()
        client.post("/train?labels=" + ",".join(labels[n // 2:n]), digits.test_images[n // 2:n].tobytes()).ok()


@pytest.mark.core
def test_two_daemons_that_get_the_same_requests_have_the_same_digest(daemons, digits):
    pair = [daemons.start(new_model(daemons, name)) for name in "ab"]
    for daemon in pair:
        train_a_little(daemon, digits)
    assert pair[0].model() == pair[1].model()


@pytest.mark.core
def test_every_instruction_set_gives_the_same_bits(daemons, digits, tmp_path):
    names = available_ariths(tmp_path)
    assert "portable" in names and len(names) >= 2, f"only {names} can run here: nothing to compare"
    predictions, models = [], []
    for name in names:
        daemon = daemons.start(new_model(daemons, name), "--arith", name)
        assert daemon.model()["instruction_set"] == name
        train_a_little(daemon, digits, 20)
        predictions.append(daemon.predict(digits.test_images[:5].tobytes()))
        models.append({**daemon.model(), "instruction_set": None})
    assert all(model == models[0] for model in models), dict(zip(names, models))
    assert all(prediction == predictions[0] for prediction in predictions)


def test_the_instruction_set_can_be_chosen_by_environment(daemons):
    daemon = daemons.start(daemons.init(), env={"CONVD_ARITH": "portable"})
    assert daemon.model()["instruction_set"] == "portable"


def test_any_number_of_threads_learns_the_same_bits(daemons, noise, tmp_path):
    """A model so large that its steps are shared; the daemon really has the threads, and small models have none."""
    geometry = ("--width", "40", "--height", "40", "--kernels", "24", "--hidden", "300", "--classes", "0,1,2,3,4,5,6,7,8,9")
    images = noise.integers(0, 256, (30, 40, 40), dtype=np.uint8)
    labels = noise.integers(0, 10, 30)
    files = write_idx(tmp_path, images, labels)
    digests, n_tasks = [], []
    for n in ("1", "2", "5"):
        offline = daemons.init(*geometry, name=f"offline{n}.db")
        convd("train", "--db", offline, *files, "--train-threads", n, "--quiet")
        digests.append(convd_json("verify", "--db", offline)["digest"])
        daemon = daemons.start(daemons.init(*geometry, name=f"{n}.db"), "--train-threads", n)
        daemon.post("/train?labels=" + ",".join(map(str, labels)), images.tobytes()).ok()
        digests.append(daemon.digest())
        n_tasks.append(len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir())))
    assert len(set(digests)) == 1
    assert [n - n_tasks[0] for n in n_tasks] == [0, 1, 4]
    small = daemons.start(daemons.init(name="small.db"), "--train-threads", "5")
    assert len(list(Path(f"/proc/{small.process.pid}/task").iterdir())) == n_tasks[0]


def test_an_instruction_set_that_is_none_is_a_usage_error(daemons):
    code, text = daemons.make(daemons.init(), "--arith", "6502").fails_to_start()
    assert code == 2 and "6502" in text


@pytest.mark.parametrize("batch", ["1", "7", "256"])
def test_training_offline_gives_the_bits_of_training_over_http(daemons, digits, tmp_path, batch):
    images, labels = digits.test_images[:50], digits.test_labels[:50]
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--classes", "0,1,2,3,4,5,6,7,8,9"))
    with daemon.client() as client:
        for image, label in zip(images, labels):
            client.train(str(label), image.tobytes()).ok()
    offline = daemons.init("--width", "28", "--height", "28", "--classes", "0,1,2,3,4,5,6,7,8,9", name="offline.db")
    convd("train", "--db", offline, *write_idx(tmp_path, images, labels), "--batch", batch, "--quiet")
    assert convd_json("verify", "--db", offline)["digest"] == daemon.digest()


def test_training_through_the_client_gives_the_bits_of_training_offline(daemons, digits, tmp_path):
    files = write_idx(tmp_path, digits.test_images[:300], digits.test_labels[:300])
    daemon = daemons.start(daemons.copy())
    convd("train", "--url", daemon.url, *files, "--quiet")
    offline = daemons.copy("offline.db")
    convd("train", "--db", offline, *files, "--quiet")
    assert convd_json("verify", "--db", offline)["digest"] == daemon.digest()


@pytest.mark.core
def test_a_model_that_was_taken_elsewhere_predicts_the_same(daemons, daemon: Daemon, digits, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(daemon.get("/model.safetensors").body)
    copy = daemons.directory / "copy.db"
    convd("init", "--db", copy, "--from", path)
    other = daemons.start(copy)
    answer = daemon.predict(digits.test_images[:50].tobytes())
    for here, there in zip(other.predict(digits.test_images[:50].tobytes())["predictions"], answer["predictions"], strict=True):
        assert (here["label"], here["probabilities"]) == (there["label"], there["probabilities"])
        assert here["confidence"] == max(here["probabilities"].values())  # the record that confidence is made from stays with the log
    assert other.model()["settings"] == daemon.model()["settings"]
    ours, _ = read_safetensors(daemon.get("/model.safetensors").body)
    theirs, _ = read_safetensors(other.get("/model.safetensors").body)
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_two_models_from_one_file_learn_the_same(daemons, daemon: Daemon, digits, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(daemon.get("/model.safetensors").body)
    digests = []
    for name in ("a.db", "b.db"):
        convd("init", "--db", daemons.directory / name, "--from", path)
        other = daemons.start(daemons.directory / name)
        other.train("3", digits.test_images[:9].tobytes()).ok()
        other.kill()
        other.start()
        digests.append(other.digest())
    assert digests[0] == digests[1]


def test_tensors_of_another_program_become_a_model(daemons, noise):
    tensors = {"kernels": noise.normal(0, 0.1, (2, 1, 3, 3)), "w01": noise.normal(0, 0.1, (36, 5)),
               "w12": noise.normal(0, 0.1, (5, 4))}
    path = daemons.directory / "foreign.safetensors"
    path.write_bytes(write_safetensors(tensors))
    db = daemons.directory / "foreign.db"
    convd("init", "--db", db, "--from", path, "--width", "8", "--height", "8", "--stride", "1", "--gradient",
          "jacobian",
          "--rate", "0.1", "--mean", "0")
    daemon = daemons.start(db)
    model = daemon.model()
    assert model["classes"] == ["0", "1", "2", "3"] and model["settings"]["gradient"] == "jacobian"
    exported, metadata = read_safetensors(daemon.get("/model.safetensors").body)
    assert all((exported[name] == tensors[name].astype(np.float32)).all() for name in tensors)
    assert metadata["mean"] == "0"


@pytest.mark.parametrize("spoil", ["truncated", "not finite", "wrong shape", "missing", "huge header", "text"])
def test_a_safetensors_file_that_is_none_is_refused_and_makes_no_database(daemons, noise, spoil):
    tensors = {"kernels": noise.normal(0, 0.1, (2, 1, 3, 3)), "w01": noise.normal(0, 0.1, (36, 5)),
               "w12": noise.normal(0, 0.1, (5, 4))}
    if spoil == "not finite":
        tensors["w12"][2, 2] = np.nan
    if spoil == "wrong shape":
        tensors["w12"] = tensors["w12"][:4]
    if spoil == "missing":
        del tensors["w01"]
    data = write_safetensors(tensors)
    if spoil == "truncated":
        data = data[:-1]
    if spoil == "huge header":
        data = b"\xff" * 7 + b"\x7f" + data[8:]
    if spoil == "text":
        data = b"these are no tensors\n"
    path, db = daemons.directory / "bad.safetensors", daemons.directory / "bad.db"
    path.write_bytes(data)
    done = convd("init", "--db", db, "--from", path, "--width", "8", "--height", "8", check=False)
    assert done.returncode == 1 and b"bad.safetensors" in done.stderr
    assert not db.exists()


def test_the_binary_says_its_version_and_arithmetic():
    assert CONVD.name == "convd"
    text = convd("--version").stdout.decode()
    assert text.startswith("convd ") and "arithmetic convd-" in text
