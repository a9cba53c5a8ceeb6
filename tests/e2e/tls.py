"""Certificates for tests, made by openssl."""
import subprocess
from pathlib import Path


def certificate(directory: Path, name: str = "convd", kind: str = "ec", host: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate for that host and 127.0.0.1, and its key."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    algorithm = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"],
                 "ed25519": ["ed25519"]}[kind]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1"],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    key.chmod(0o600)
    return cert, key
