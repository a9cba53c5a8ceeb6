"""procs.py - the programs that are measured: workers that answer lines, servers that listen, and wrk."""
import json
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
# A developer's own settings must not reach the daemons that are measured.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CONVD_")}

# One step a sample, of the image as it is, by one rate. What a row of speed or of many passes is about.
PLAIN = {"normalize": "none", "rehearsal": 0, "rehearsal-first": 0, "rehearsal-idle": 0, "jitter": 0, "rotation": 0,
         "decay-steps": 60000, "output-rate": 1, "imprint": 0}
INIT_PLAIN = tuple(str(word) for name, value in PLAIN.items() for word in (f"--{name}", value))


class BenchError(Exception):
    """Something that was to be measured does not work: the run fails, and says why."""


# ---- workers: one line in, one line out, so that rounds of several can be interleaved ----

class Worker:
    def __init__(self, *command: str | Path):
        self.name = Path(command[-2]).name  # the last word is what it works on
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.ready = self.line().split()[1:]

    def line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{self.name} ended with status {self.process.wait()}; what it said is above")
        return line.strip()

    def ask(self, *words: object) -> str:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.line()

    def number(self, *words: object) -> float:
        return float(self.ask(*words))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# ---- servers ----

class Server:
    """A process that prints "listening on http://HOST:PORT" and ends on SIGTERM."""

    def __init__(self, *command: str | Path):
        self.name = Path(command[0]).name
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        for line in self.process.stdout:
            if found := re.search(r"listening on (http://\S+)", line):
                self.url = found[1]
                break
        else:
            raise BenchError(f"{self.name} ended with status {self.process.wait()} before it listened")

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written_bytes(self) -> int:
        """Of write() and pwrite(), whether they reached the disk yet or not; answers to a socket go by another call and are not in it."""
        return int(re.search(r"^wchar: (\d+)", Path(f"/proc/{self.process.pid}/io").read_text(), re.MULTILINE)[1])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        if status != 0:
            raise BenchError(f"{self.name} ended with status {status} on SIGTERM")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def exchange(url: str, method: str, body: bytes = b"", content_type: str = "application/octet-stream") -> bytes:
    """One request; the whole answer, headers and all, as it came over the wire."""
    parts = urlsplit(url)
    target = parts.path + ("?" + parts.query if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            headers, end, content = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length:\s*(\d+)", headers)
            if end and length and len(content) >= int(length[1]):
                return answer
    raise BenchError(f"{method} {url}: the answer ended early: {answer[:200]!r}")


# ---- wrk ----

DISTURBED = 0.1  # of the machine's processor time, taken by others
FEWEST = 3  # undisturbed rounds that a figure needs


def busy_seconds() -> float:
    """Processor time that all processes of the machine have had, and what the hypervisor took."""
    user, nice, system, _, _, _, _, steal = (int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def load(server: Server, path: str, body: Path, seconds: int, connections: int, content_type: str = "application/octet-stream") -> dict:
    """wrk with one thread: requests, duration_us, p50_us, p99_us, rate; server_us and wrk_us, their processor time a request; others, the part of
    the machine that neither had but somebody else. Any error fails the run."""
    url = server.url + path
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", HERE / "load.lua", url]
    before, children, busy = server.cpu_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN), busy_seconds()
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | {"BENCH_BODY": str(body), "BENCH_TYPE": content_type})
    served, after, busy = server.cpu_seconds() - before, resource.getrusage(resource.RUSAGE_CHILDREN), busy_seconds() - busy
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise BenchError(f"wrk on {url} failed: {done.stdout}{done.stderr}")
    result = json.loads(lines[-1])
    if result["errors"] or not result["requests"]:
        raise BenchError(f"wrk on {url}: {result['errors']} of {result['requests']} requests failed: {done.stdout}")
    sent = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    cores, duration = len(os.sched_getaffinity(0)), result["duration_us"] / 1e6
    return result | {
        "rate": result["requests"] / duration, "server_us": served / result["requests"] * 1e6, "wrk_us": sent / result["requests"] * 1e6,
        "others": max(0.0, busy - served - sent) / duration / cores,
    }


def undisturbed(rounds: list[dict]) -> tuple[list[dict], str]:
    """The rounds during which others left the machine alone, and ""; where there are too few, all of them and a word on that."""
    quiet = [r for r in rounds if r["others"] <= DISTURBED]
    if len(quiet) >= FEWEST:
        return quiet, ""
    return rounds, f"DISTURBED: others took {100 * sum(r['others'] for r in rounds) / len(rounds):.0f} % of the cores; not judged"


# ---- the machine ----

def sync_us(fd: int, n_bytes: int, n: int) -> float:
    """Median time of n_bytes written and synced, n times, one behind the other: over and over what the file has, or appended to an empty one."""
    taken, places = [], os.fstat(fd).st_size // n_bytes or n
    block = bytes(n_bytes)
    for i in range(n):
        start = time.perf_counter()
        os.pwrite(fd, block, i % places * n_bytes)
        os.fdatasync(fd)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[n // 2] * 1e6


def sync_ms(folder: Path) -> float:
    """Median time of 8 KiB appended and synced: what a durable answer costs on this disk at least."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        return round(sync_us(file.fileno(), 8192, 200) / 1e3, 3)


def machine(folder: Path) -> dict:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", cpuinfo, re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
        "load_before": round(os.getloadavg()[0], 2),
        "disk_sync_ms": sync_ms(folder),
    }
