"""A real `mlflow server` on loopback that can be killed, stopped, robbed of its database; and a bad line to it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.database, self.artifacts = folder / "mlflow.db", folder / "artifacts"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.artifacts)]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        while not self.answers():
            assert self._process.poll() is None, f"the server did not start, see {self.folder / 'server.log'}"
            time.sleep(0.2)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def hang(self, seconds: float) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.killpg(self._process.pid, signal.SIGCONT)

    def lose_database(self, backup: Path | None = None) -> None:
        """It is gone, or what it was when `backup` was made."""
        self.kill()
        for path in self.folder.glob("mlflow.db*"):
            path.unlink()
        if backup is not None:
            shutil.copy(backup, self.database)
        self.start()


class Line:
    """What lies between the sweep and the server. It breaks in a way chosen by its fields."""

    def __init__(self, server: Server) -> None:
        self.loses_every: int | None = None
        """Of so many answers, one is lost: the request was carried out."""
        self.delay_s = 0.0
        """Until an answer is passed on."""
        self.passes_nothing = False
        """Connections are taken; nothing is answered."""
        self.answers = self.lost = 0
        self._server = server
        self._door = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._count = threading.Lock()
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            near, _ = self._door.accept()
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._server.port), timeout=5)
            far.settimeout(None)
        except OSError:
            near.close()
            return
        asked = threading.Event()
        threading.Thread(target=self._pass_on, args=(near, far, asked, False), daemon=True).start()
        self._pass_on(far, near, asked, True)

    def _pass_on(self, source: socket.socket, target: socket.socket, asked: threading.Event, back: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                while self.passes_nothing:
                    time.sleep(0.1)
                if not back:
                    asked.set()
                elif asked.is_set():  # the first piece of an answer
                    asked.clear()
                    if self._loses():
                        break
                    time.sleep(self.delay_s)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _loses(self) -> bool:
        with self._count:
            self.answers += 1
            loses = self.loses_every is not None and self.answers % self.loses_every == 0
            self.lost += loses
            return loses
