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


def authority(directory: Path, name: str) -> tuple[Path, Path]:
    """The certificate of an authority of our own, and its key."""
    return certificate(directory, name, host=f"authority {name}")


def issued(directory: Path, by: tuple[Path, Path], host: str) -> tuple[Path, Path]:
    """A certificate for that host that the authority has signed, and its key."""
    cert, key = directory / "issued.crt", directory / "issued.key"
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", directory / "issued.csr", "-subj", f"/CN={host}"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (directory / "issued.ext").write_text(f"subjectAltName=DNS:{host}\n")
    subprocess.run(["openssl", "x509", "-req", "-in", directory / "issued.csr", "-CA", by[0], "-CAkey", by[1], "-CAcreateserial",
                    "-days", "2", "-extfile", directory / "issued.ext", "-out", cert], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    key.chmod(0o600)
    return cert, key
