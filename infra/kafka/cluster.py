"""A cluster of Apache Kafka on this machine: one or three combined KRaft nodes as child processes, on loopback.

TLS, SCRAM users and an authoriser that denies by default are always on: tests and demonstrations meet what an
organisation's own cluster should have. Users are made when the cluster is formatted; what they may do is decided by
`streams.access` and applied by `streams.admin`.
"""

import re
import secrets
import shutil
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.kafka.certificates import HOST, make_certificates, write_private
from infra.kafka.jars import jars, java
from infra.kafka.settings import OPERATOR, Ports, server_properties
from infra.local.children import free_port, spawn_tied, stop, stop_all
from infra.local.errors import LocalError

ATTEMPTS = 3
"""Somebody may take a free port before a broker does."""
READY_SECONDS = 60.0
"""One broker takes 4 s on an idle machine of two cores, three take 10 s."""
FORMAT_SECONDS = 60.0
STOP_SECONDS = 10.0
HEAP = "256m"
SIZES = (1, 3)

_STARTED = b"Kafka Server started"
_LOGGING = Path(__file__).parent / "log4j2.properties"
_USER = re.compile(r"[a-z][a-z0-9-]{0,79}")


class KafkaCluster:
    """Use as `with … as cluster`, or call `start` and `stop`; main thread only. Its data stays in the folder.

    Args:
        folder: the cluster's own, made when missing, mode 0700. A folder that was used before goes on from its data,
            with the users that it has.
        brokers: 1 or 3.
        users: who gets a password, beside the operator.
        heap: of each broker's Java.
    """

    def __init__(self, folder: Path, brokers: int = 1, users: Iterable[str] = (), heap: str = HEAP) -> None:
        if brokers not in SIZES:
            raise LocalError(f"a cluster of {brokers} brokers was asked for; it has 1 or 3")
        self.folder, self.brokers, self._heap = folder, brokers, heap
        self._users = sorted({OPERATOR, *users})
        if bad := [user for user in self._users if not _USER.fullmatch(user)]:
            raise LocalError(f"{bad[0]!r} cannot be a user; expected small letters, digits and hyphens")
        self._ports: list[Ports] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._seen: dict[int, int] = {}
        """How long a broker's log was when it was started last."""

    @property
    def address(self) -> str:
        """host:port of every broker, for clients."""
        return ",".join(f"{HOST}:{ports.client}" for ports in self._ports)

    @property
    def authority(self) -> Path:
        """PEM file with the certificate that clients trust."""
        return self.folder / "certificates" / "ca.pem"

    def password_file(self, user: str) -> Path:
        """Where a user's password is; mode 0600."""
        return self.folder / "users" / user

    def pid(self, number: int) -> int:
        """Process id of a broker that was started."""
        return self._processes[number].pid

    def alive(self, number: int) -> bool:
        """Whether a broker's process runs."""
        process = self._processes.get(number)
        return process is not None and process.poll() is None

    def start(self) -> Self:
        """Start all brokers and wait until they serve.

        Raises:
            LocalError: no Java, no jars, or not ready in time; names the log.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prepare()
        for attempt in range(1, ATTEMPTS + 1):
            self._choose_ports()
            try:
                for number in self._numbers:
                    self.begin(number)
                for number in self._numbers:
                    self.wait(number)
            except LocalError:
                self.stop()
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise AssertionError

    def begin(self, number: int) -> None:
        """Start one broker, on the ports it has; `wait` tells when it serves."""
        if self.alive(number):
            raise LocalError(f"kafka broker {number} runs already (process {self.pid(number)})")
        log = self._log(number)
        self._seen[number] = log.stat().st_size if log.exists() else 0
        self._processes[number] = spawn_tied(
            self._java("kafka.Kafka", str(self._properties(number))), log, self.folder
        )

    def wait(self, number: int, seconds: float = READY_SECONDS) -> None:
        """Wait until a broker that was begun has joined the cluster and serves; any thread.

        Raises:
            LocalError: it ended or was not ready in time.
        """
        limit, log = time.monotonic() + seconds, self._log(number)
        while time.monotonic() < limit and self.alive(number):
            with log.open("rb") as lines:
                lines.seek(self._seen[number])
                if _STARTED in lines.read():
                    return
            time.sleep(0.05)
        code = self._processes[number].poll()
        raise LocalError(f"kafka broker {number} was not ready within {seconds:g} s (exit {code}); see {log}")

    def kill(self, number: int) -> None:
        """End a broker by SIGKILL."""
        self._processes[number].kill()
        self._processes[number].wait()

    def stop_broker(self, number: int) -> None:
        """End a broker in good order: it hands its partitions over first."""
        stop(self._processes[number], STOP_SECONDS)

    def stop(self) -> None:
        """End all brokers; safe to call twice."""
        stop_all(list(self._processes.values()), STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _numbers(self) -> range:
        return range(1, self.brokers + 1)

    def _properties(self, number: int) -> Path:
        return self.folder / f"broker-{number}.properties"

    def _log(self, number: int) -> Path:
        return self.folder / f"broker-{number}.log"

    def _java(self, main: str, *arguments: str) -> list[str]:
        # The serial collector and one compiler start in half the time; two cores are shared with everything else.
        return [
            java(), f"-Xmx{self._heap}", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            "-Djava.awt.headless=true", "-Djava.net.preferIPv4Stack=true", f"-Dlog4j2.configurationFile={_LOGGING}",
            "-cp", f"{jars()}/*", main, *arguments,
        ]

    def _choose_ports(self) -> None:
        self._ports = [Ports(free_port(), free_port(), free_port()) for _ in self._numbers]
        self._write_properties()

    def _write_properties(self) -> None:
        for number in self._numbers:
            text = server_properties(number, self._ports, self.authority.parent, self.folder / f"data-{number}")
            write_private(self._properties(number), text.encode())

    def _prepare(self) -> None:
        """Certificates, passwords, and empty logs that know the users; once a folder."""
        done = self.folder / "formatted"
        if done.exists():
            self._check_same(done.read_text(encoding="ascii"))
            return
        for name in ("certificates", "users"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        make_certificates(self.authority.parent, self.brokers)
        for user in self._users:
            write_private(self.password_file(user), secrets.token_urlsafe(24).encode())
        self._choose_ports()
        self._format()
        done.write_text(f"{self.brokers} {' '.join(self._users)}", encoding="ascii")

    def _check_same(self, before: str) -> None:
        brokers, *users = before.split()
        if int(brokers) != self.brokers or not set(self._users) <= set(users):
            raise LocalError(
                f"{self.folder} holds a cluster of {brokers} brokers with the users {', '.join(users)}; use it so, or "
                "take another folder"
            )

    def _format(self) -> None:
        """Run Kafka's storage tool for every broker side by side.

        The passwords are handed over in a file: arguments can be read by everybody on the machine. The tool prints
        what it derives from them, so its output is kept only when it fails.
        """
        def said(number: int) -> Path:
            return self.folder / f"format-{number}.log"

        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "A")
        words, running = self.folder / "format", []
        scram = [
            f"SCRAM-SHA-512=[name={user},password={self.password_file(user).read_text(encoding='ascii')}]"
            for user in self._users
        ]
        try:
            for number in self._numbers:
                shutil.rmtree(self.folder / f"data-{number}", ignore_errors=True)
                arguments = ["format", "--cluster-id", cluster, "--config", str(self._properties(number))]
                arguments += [word for one in scram for word in ("--add-scram", one)]
                path = words.with_suffix(f".{number}")
                write_private(path, "\n".join(arguments).encode())
                running.append(
                    spawn_tied(self._java("kafka.tools.StorageTool", f"@{path}"), said(number), self.folder)
                )
            limit = time.monotonic() + FORMAT_SECONDS
            for number, process in zip(self._numbers, running, strict=True):
                code = process.wait(max(0.1, limit - time.monotonic()))
                if code:
                    raise LocalError(f"kafka broker {number} was not formatted (exit {code}); see {said(number)}")
                said(number).unlink()
        except subprocess.TimeoutExpired as error:
            raise LocalError(
                f"kafka brokers were not formatted within {FORMAT_SECONDS:g} s; see {said(1)}"
            ) from error
        finally:
            for number, process in zip(self._numbers, running, strict=False):
                stop(process, 0.0)
                words.with_suffix(f".{number}").unlink(missing_ok=True)
