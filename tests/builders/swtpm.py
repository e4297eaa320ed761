"""TPMs 2.0, as contexts: swtpm. Without a folder for it, the state begins as from the factory and ends with it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

MODELS = ("tpm-tis", "tpm-crb")
START_LIMIT = 10.0


class Swtpm:
    """A running TPM; `arguments` connect a QEMU to it. All four banks of SHA-1 and SHA-2 are active.

    `state` is a folder in which it lives on, for a machine that is started more than once.
    """

    def __init__(self, model: str = MODELS[0], state: Path | None = None) -> None:
        self.model, self.state = model, state

    def __enter__(self) -> Swtpm:
        self._folder = tempfile.TemporaryDirectory(prefix="bootshim-swtpm-")
        self.socket = Path(self._folder.name, "control")
        state = self.state or Path(self._folder.name, "state")
        state.mkdir(exist_ok=True)
        self._child = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={self.socket}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._child, self.socket.exists, lambda: self.__exit__(None, None, None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.terminate()
        self._child.wait()
        self._folder.cleanup()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words for QEMU's command line."""
        return ("-chardev", f"socket,id=tpm,path={self.socket}", "-tpmdev", "emulator,id=tpm,chardev=tpm",
                "-device", f"{self.model},tpmdev=tpm")


def wait_for(
    child: subprocess.Popen[bytes], is_ready: Callable[[], bool], give_up: Callable[[], None] = lambda: None
) -> None:
    """Wait until a TPM can be talked to. Raises RuntimeError, after giving up, for one that does not come."""
    deadline = time.monotonic() + START_LIMIT
    while not is_ready():
        if child.poll() is not None or time.monotonic() > deadline:
            give_up()
            raise RuntimeError(f"swtpm did not start: {child.returncode}")
        time.sleep(0.02)


def accepts_tcp(port: int) -> bool:
    """Say whether somebody listens at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def accepts(path: Path) -> bool:
    """Say whether somebody listens at a socket: it is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


class TpmServer:
    """A running TPM without a machine, as a context, for programs of tpm2-tss and systemd: `device` is what they take.

    It is the port `shim.ports.Tpm`, too, one connection a command: swtpm serves one at a time.
    """

    def __enter__(self) -> TpmServer:
        self._folder = tempfile.TemporaryDirectory(prefix="bootshim-swtpm-")
        self._path = Path(self._folder.name, "tpm")  # tpm2-tss finds the control socket by its name
        control = Path(f"{self._path}.ctrl")
        self._child = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._folder.name}",
             "--server", f"type=unixio,path={self._path}", "--ctrl", f"type=unixio,path={control}",
             "--flags", "not-need-init"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._child, lambda: accepts(self._path) and accepts(control),
                 lambda: self.__exit__(None, None, None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        self._child.wait()
        self._folder.cleanup()

    @property
    def device(self) -> str:
        return f"swtpm:path={self._path}"

    def is_present(self) -> bool:
        return True

    def transmit(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_LIMIT)
            connection.connect(str(self._path))
            connection.sendall(command)
            return connection.recv(4096)


class TpmSocket:
    """A running TPM without a machine, as a context: the port `shim.ports.Tpm`, over swtpm's own socket."""

    def __init__(self, state: Path | None = None) -> None:
        self.state = state

    def __enter__(self) -> TpmSocket:
        self._socket, theirs = socket.socketpair()
        self._folder = tempfile.TemporaryDirectory(prefix="bootshim-swtpm-")
        state = self.state or self._folder.name
        self._child = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--fd", str(theirs.fileno()),
             "--flags", "not-need-init"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        self._socket.settimeout(START_LIMIT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._child.terminate()
        self._child.wait()
        self._folder.cleanup()

    def is_present(self) -> bool:
        return True

    def transmit(self, command: bytes) -> bytes:
        self._socket.sendall(command)
        return self._socket.recv(4096)


def provision(state: Path, *commands: str) -> str:
    """Run commands of tpm2-tools against the TPM whose state a folder keeps; return what they print."""
    state.mkdir(exist_ok=True)
    port = _free_ports()
    with subprocess.Popen(
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--server", f"type=tcp,port={port}",
         "--ctrl", f"type=tcp,port={port + 1}", "--flags", "not-need-init,startup-clear"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        try:
            wait_for(child, lambda: accepts_tcp(port + 1))
            environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={port}"}
            done = [subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=30,
                                   check=False) for command in commands]
        finally:
            child.terminate()
    for command, result in zip(commands, done, strict=True):
        if result.returncode:
            raise RuntimeError(f"{command}: {result.stderr}")
    return "".join(result.stdout for result in done)


def _free_ports() -> int:
    """Return a port of this machine that is free, as is the one behind it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                other.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
