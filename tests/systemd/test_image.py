"""The OCI image: built, unpacked and run by runc, where this machine lets it, as examples/container/ has it run: another user, nothing to
write on but the volume, a token."""
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from test_units import ROOT, make

EXAMPLES = ROOT / "examples" / "container"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, convd) -> Path:
    if convd != (ROOT / "build/convd").resolve():
        pytest.skip("only the release is packed")
    for program in ("mmdebstrap", "umoci", "runc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may run it")
    make("image")
    folder = tmp_path_factory.mktemp("image")
    archive = max((ROOT / "build/image").glob("convd_*.oci.tar"), key=lambda path: path.stat().st_mtime)
    (folder / "oci").mkdir()
    subprocess.run(["tar", "-x", "-f", archive, "-C", folder / "oci"], check=True)
    tag = json.loads((folder / "oci/index.json").read_text())["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    assert tag == yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]["convd"]["image"]
    subprocess.run(["umoci", "unpack", "--image", f"{folder}/oci:{tag}", folder / "bundle"], check=True, capture_output=True)
    return folder / "bundle"


class Container:
    """With this machine's network; the image's own command and environment, and `env`."""

    def __init__(self, bundle: Path, volume: Path, **env: str):
        self.name = f"convd-{os.getpid()}-{time.monotonic_ns()}"
        config = json.loads((bundle / "config.json").read_text())
        assert (config["process"]["user"]["uid"], config["process"]["user"]["gid"]) == (999, 999)
        assert config["process"]["args"] == ["/usr/bin/convd", "serve"]
        config["process"] |= {"terminal": False, "noNewPrivileges": True}
        config["process"]["capabilities"] = {}
        config["process"]["env"] += [f"{name}={value}" for name, value in env.items()]
        shared = ("network", "user", "cgroup")
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] not in shared]
        for name in ("uidMappings", "gidMappings"):
            config["linux"].pop(name, None)
        config["mounts"] = [m for m in config["mounts"] if m["type"] not in ("cgroup", "sysfs") and m["destination"] != "/var/lib/convd"]
        config["mounts"].append({"destination": "/var/lib/convd", "type": "bind", "source": str(volume), "options": ["bind", "rw"]})
        run = volume.parent / self.name
        run.mkdir()
        (run / "config.json").write_text(json.dumps(config | {"root": {"path": str(bundle / "rootfs"), "readonly": True}}))
        self.log = run / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["runc", "run", "-b", run, self.name], stdout=log, stderr=log)

    def address(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if line.startswith("listening on "):
                    return line.split()[2].replace("0.0.0.0", "127.0.0.1")
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        subprocess.run(["runc", "kill", self.name, "TERM"], check=True, capture_output=True)
        return self.process.wait(timeout=PATIENCE_S)


def ask(url: str, body: bytes | None = None, token: str = "") -> tuple[int, dict]:
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def volume(bundle, tmp_path) -> Path:
    why = subprocess.run(["runc", "list"], capture_output=True, text=True, check=False)
    if why.returncode != 0:
        pytest.skip(f"runc does not run here: {why.stderr.strip()}")
    path = tmp_path / "volume"
    path.mkdir()
    os.chown(path, 999, 999)
    for parent in path.parents[:4]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return path


def test_it_serves_learns_and_keeps_its_model(bundle, volume):
    token = volume / "token"
    token.write_text("a-token-for-the-tests-of-the-image\n")
    token.chmod(0o440)
    os.chown(token, 0, 999)
    env = {"CONVD_WRITE_TOKEN_FILE": "/var/lib/convd/token", "CONVD_LISTEN": "0.0.0.0:0"}
    secret = token.read_text().strip()
    revision = 0
    for _ in range(2):
        container = Container(bundle, volume, **env)
        url = container.address()
        assert ask(f"{url}/readyz")[0] == 200
        assert ask(f"{url}/model")[0] == 401
        assert ask(f"{url}/model", token=secret)[1]["revision"] >= revision  # what was learned before is there
        picture = (ROOT / "examples/digits/7.png").read_bytes()
        status, trained = ask(f"{url}/train?label=7", picture, secret)
        assert status == 200 and trained["revision"] > revision
        revision = trained["revision"]
        assert container.stop() == 0


def test_without_a_token_it_says_what_it_needs(bundle, volume):
    container = Container(bundle, volume)
    assert container.process.wait(timeout=PATIENCE_S) != 0
    assert "token" in container.log.read_text()


def test_the_manifests_ask_for_what_the_image_has():
    compose = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]["convd"]
    assert compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["volumes"] == ["model:/var/lib/convd"]
    documents = {d["kind"]: d for d in yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())}
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert documents["Deployment"]["spec"]["replicas"] == 1 and pod["securityContext"]["runAsUser"] == 999
    assert container["image"] == compose["image"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert container["volumeMounts"][0]["mountPath"] == "/var/lib/convd"
