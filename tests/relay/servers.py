"""Starting and stopping the servers. Nothing listens beyond loopback; PostgreSQL only on a socket in its folder."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_START_S = 60
_RECOVERS_S = 300
_PACKAGES = ("swift-proxy", "swift-account", "swift-container", "swift-object", "swift", "memcached")


@dataclass(frozen=True)
class Postgres:
    folder: Path
    binaries: Path
    user: str

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self.folder}&user={self.user}"

    def new_database(self, name: str) -> str:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def control(self, *arguments: str) -> None:
        """It waits: after a crash each file of the database is synced first, which a busy disk takes a minute for."""
        wait = ("-w", "-t", str(_RECOVERS_S))
        _run_as(self.user, self.binaries / "pg_ctl", "-D", self.folder / "data", *wait, "-s", *arguments)

    def start(self) -> None:
        self.control("-l", str(self.folder / "log"), "-o", f"-c listen_addresses='' -k {self.folder}", "start")

    def crash(self) -> None:
        """As a power cut would: nothing is flushed, and it recovers when it starts again."""
        self.control("-m", "immediate", "stop")


def missing_for_postgres() -> str | None:
    return None if _postgres_binaries() else "PostgreSQL is missing: apt-get install postgresql"


def _postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextmanager
def postgres() -> Iterator[Postgres]:
    binaries = _postgres_binaries()
    assert binaries
    # It refuses to run as root; pytest's folders are closed to other users.
    user = pwd.getpwuid(os.getuid()).pw_name if os.getuid() else "postgres"
    folder = Path(tempfile.mkdtemp(prefix="darklantern-pg-"))
    server = Postgres(folder, binaries, user)
    try:
        shutil.chown(folder, user)
        _run_as(user, binaries / "initdb", "-D", folder / "data", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        server.start()
        try:
            yield server
        finally:
            server.control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run_as(user: str, *command: str | Path) -> None:
    other = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if not os.getuid() else {}
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_RECOVERS_S + _START_S,
        **other,
    )
    assert done.returncode == 0, done.stderr.decode()


@dataclass(frozen=True)
class Swift:
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test:tester",
            aws_secret_access_key="testing",
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"max_attempts": 0},
            ),
        )

    def new_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}/relay?endpoint={self.endpoint}&region=us-east-1"


def missing_for_swift() -> str | None:
    programs = [f"swift-{name}-server" for name in ("proxy", "account", "container", "object")]
    missing = [program for program in [*programs, "swift-ring-builder", "memcached"] if not shutil.which(program)]
    if not missing:
        return None
    return f"{', '.join(missing)} missing: apt-get install {' '.join(_PACKAGES)}"


@contextmanager
def swift(folder: Path) -> Iterator[Swift]:
    port = _free_ports(0, 1, 10, 11, 12)
    script = Path(__file__).with_name("swift.sh")
    try:
        with (folder / "start.log").open("wb") as log:
            subprocess.run(
                ["bash", script, folder],
                env={"PATH": os.environ["PATH"], "PORT": str(port)},
                stdout=log,
                stderr=log,
                timeout=_START_S,
                check=True,
            )
        server = Swift(port)
        _wait_for(server)
        yield server
    finally:
        for file in (folder / "run").glob("*"):
            with suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGTERM)


def _free_ports(*offsets: int) -> int:
    """A port such that those at all the offsets are free."""
    for base in range(18080 + os.getpid() % 1000 * 16, 60000, 16):
        with suppress(OSError):
            for offset in offsets:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
            return base
    raise RuntimeError("no free ports")


def _wait_for(server: Swift) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            server.client().list_buckets()
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
