"""A machine to try things on: QEMU with a serial line. Only the host command and the tests use this.

Spec: QEMU "Invocation", and QMP (QEMU Machine Protocol) for how the machine ended.
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli.accel import accelerator
from shim.errors import ConfigError, SystemError_
from shim.values import Value

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = "qemu-system-x86_64"
# Firmware as Debian's package ovmf has it: the code, and a store of variables that is copied for each run. The one
# that enforces secure boot keeps the store out of the kernel's reach, in system management mode.
OVMF = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")
OVMF_SECURE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
SECURE = ("-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on")
INTERFACES = {
    "virtio": ("virtio-blk-pci,drive={id}",),
    "ahci": ("ide-hd,drive={id},bus=ide.{number}",),
    "nvme": ("nvme,drive={id},serial=bootshim{number}",),
    "usb": ("qemu-xhci,id=xhci{number}", "usb-storage,drive={id},bus=xhci{number}.0"),
}
FIRMWARES = ("bios", "uefi")
SERIAL_LIMIT = 64 << 20
ENDINGS = {"guest-shutdown": "off", "guest-reset": "reset", "guest-panic": "failed"}  # QMP, event SHUTDOWN


class Disk(Value):
    """A raw disk image and how the machine sees it. It is never written: what the guest writes is thrown away."""

    path: Path
    interface: str = "virtio"

    def check(self) -> None:
        if self.interface not in INTERFACES:
            raise ConfigError("no such disk interface", found=self.interface, known=" ".join(INTERFACES))


class MachineSpec(Value):
    """A machine to start: what it boots, its disks, memory in MiB, firmware, and more arguments for QEMU.

    Without a kernel the firmware looks for one on the disks. `variables` is a store with keys in it: UEFI then
    enforces secure boot. `rom` is a whole firmware image of up to 16 MiB, in place of QEMU's own.
    """

    kernel: Path | None = None
    initramfs: Path | None = None
    cmdline: str = ""
    disks: tuple[Disk, ...] = ()
    memory: int = 2048
    firmware: str = "bios"
    variables: Path | None = None
    rom: Path | None = None
    extra: tuple[str, ...] = ()

    def check(self) -> None:
        if self.firmware not in FIRMWARES:
            raise ConfigError("no such firmware", found=self.firmware, known=" ".join(FIRMWARES))
        if self.variables is not None and self.firmware != "uefi":
            raise ConfigError("only UEFI has a store of variables", found=self.firmware)
        if self.rom is not None and (self.firmware != "bios" or self.kernel is not None):
            raise ConfigError("a ROM has firmware and kernel in it", rom=str(self.rom))


class Qemu:
    """A machine that runs, as a context: it is gone at the end.

    `serial` is all it has printed. `ended` is None while it runs, then "off", "reset" (a reset ends it) or "failed".
    """

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec
        self.serial = ""
        self.ended: str | None = None
        self.started = 0.0
        self._raw = bytearray()

    def __enter__(self) -> Qemu:
        self._folder = tempfile.TemporaryDirectory(prefix="bootshim-qemu-")
        folder = Path(self._folder.name)
        self._qmp = _Qmp(folder / "qmp")
        command = command_line(self.spec, folder)
        self._errors = (folder / "errors").open("w+b")
        self.started = time.monotonic()
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        except OSError as problem:
            self._folder.cleanup()
            raise SystemError_("cannot start QEMU", problem.errno or 0, command=command[0]) from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._qmp.close()
        self._folder.cleanup()

    @property
    def seconds(self) -> float:
        """How long ago the machine was started."""
        return time.monotonic() - self.started

    def read_until(self, pattern: str, timeout: float, start: int = 0) -> re.Match[str] | None:
        """Read the serial line until the regex is found at or after index `start`; None when it did not come."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            found = wanted.search(self.serial, start)
            if found or not self._read(deadline - time.monotonic()):
                return found

    def wait(self, timeout: float) -> str | None:
        """Read on until the machine ends; return how, None when it did not in time."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            pass
        return self.ended

    def send(self, text: str) -> None:
        """Type on the serial line."""
        if self._child.stdin is not None:
            self._child.stdin.write(text.encode())
            self._child.stdin.flush()

    def execute(self, command: str, **arguments: str) -> None:
        """Give the machine a command of QMP, when it has come up: device_add, for one. Its answer is not waited for."""
        self._qmp.send({"execute": command, "arguments": arguments})

    @property
    def errors(self) -> str:
        """What QEMU itself complained about."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip()

    def _read(self, timeout: float) -> bool:
        if self._child.stdout is None or self.ended is not None or timeout <= 0:
            return False
        descriptor = self._child.stdout.fileno()
        self._qmp.poll()
        if not select.select([descriptor], [], [], min(timeout, 0.2))[0]:
            return True
        data = os.read(descriptor, 65536)
        self._raw += data
        if not data or len(self._raw) > SERIAL_LIMIT:
            self._end()
            return False
        self.serial = self._raw.decode("utf-8", "replace")
        return True

    def _end(self) -> None:
        if len(self._raw) > SERIAL_LIMIT:
            self._child.kill()
        status = self._child.wait()
        self._qmp.poll()
        self.ended = self._qmp.ended or "failed"
        if status != 0 and self._qmp.ended is None:
            raise SystemError_("QEMU gave up", 0, status=status, said=self.errors[-500:])


class _Qmp:
    """The machine's control socket: QEMU connects to it, and tells why the machine shut down."""

    def __init__(self, path: Path) -> None:
        self.ended: str | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._connection: socket.socket | None = None
        self._buffer = b""

    def poll(self) -> None:
        """Take what has come, without waiting."""
        if self._connection is None:
            if not select.select([self._listening], [], [], 0)[0]:
                return
            self._connection, _ = self._listening.accept()
            self.send({"execute": "qmp_capabilities"})
        while select.select([self._connection], [], [], 0)[0]:
            try:
                data = self._connection.recv(65536)
            except ConnectionResetError:
                return  # QEMU is gone, and its exit status and its words say why
            if not data:
                return
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def send(self, message: dict[str, Any]) -> None:
        """Say something to QEMU. Raises SystemError_ when it is not connected."""
        if self._connection is None:
            raise SystemError_("QEMU's control socket is not connected", errno.ENOTCONN)
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "SHUTDOWN":
            self.ended = ENDINGS.get(message["data"]["reason"], "failed")

    def close(self) -> None:
        self._listening.close()
        if self._connection is not None:
            self._connection.close()


def command_line(spec: MachineSpec, folder: Path) -> list[str]:
    """Return the QEMU command for a machine; `folder` takes what it needs for the time of the run."""
    qemu = program()
    command = [
        qemu, *accelerator(qemu, spec.kernel), "-machine", "q35", "-m", str(spec.memory), "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot",
        "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
        "-chardev", f"socket,id=qmp,path={_escaped(folder / 'qmp')}", "-mon", "chardev=qmp,mode=control",
        "-object", "rng-random,id=rng,filename=/dev/urandom",
    ]
    if spec.firmware == "uefi":
        command += _uefi(folder, spec.variables)
    if spec.rom is not None:
        command += ["-machine", "max-fw-size=16M", "-bios", str(spec.rom)]
    if spec.kernel is not None:
        command += ["-kernel", str(spec.kernel)]
    if spec.initramfs is not None:
        command += ["-initrd", str(spec.initramfs)]
    if spec.cmdline:
        command += ["-append", spec.cmdline]
    for number, disk in enumerate(spec.disks):
        command += disk_arguments(disk, number)
    return [*command, *spec.extra]


def disk_arguments(disk: Disk, number: int) -> list[str]:
    """Return the arguments for one disk, the `number`th."""
    name = f"disk{number}"
    drive = f"file={_escaped(disk.path)},format=raw,if=none,id={name},snapshot=on"
    devices = [device.format(id=name, number=number) for device in INTERFACES[disk.interface]]
    return ["-drive", drive, *(word for device in devices for word in ("-device", device))]


def _uefi(folder: Path, variables: Path | None) -> list[str]:
    code = OVMF_SECURE if variables else OVMF[0]
    if not Path(code).exists():
        raise ConfigError("UEFI firmware is not there: install the package ovmf", path=code)
    own = folder / "variables"
    shutil.copyfile(variables or OVMF[1], own)
    return [
        *(SECURE if variables else ()),
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
        "-drive", f"if=pflash,unit=1,format=raw,file={_escaped(own)}",
    ]  # fmt: skip


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def program() -> str:
    """Return the path of QEMU. Raises ConfigError when it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise ConfigError("QEMU is not there: install the package qemu-system-x86", command=PROGRAM)
    return found
