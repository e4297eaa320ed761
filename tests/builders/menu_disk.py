"""The disk of which README shows the menu: three entries that can be booted, and two that cannot."""

from __future__ import annotations

CMDLINE = "console=ttyS0 quiet"
TITLE = "Debian GNU/Linux 12 (bookworm)"
OTHERS = {
    "/loader/entries/debian-6.1.0-56.conf": f"title {TITLE}\nversion 6.1.0-56-cloud-amd64\nsort-key debian\n",
    "/loader/entries/debian-6.1.0-55.conf": f"title {TITLE}\nversion 6.1.0-55-cloud-amd64\nsort-key debian\n",
    "/loader/entries/rescue.conf": "title Rescue\nsort-key rescue\n",
    "/loader/entries/arm.conf": f"title {TITLE}\nversion 6.1.0-56-cloud-arm64\nsort-key xdebian\narchitecture aa64\n",
    "/loader/entries/new+0-3.conf": "title A kernel that did not come up\nversion 6.12.1\nsort-key debian\n",
}


def menu_disk(kernel: bytes, initrd: bytes) -> dict[str, bytes]:
    """Return the files of the disk's volume; every entry starts the same kernel."""
    start = f"linux /vmlinuz\ninitrd /initrd.img\noptions {CMDLINE}\n"
    entries = {path: f"{text}{start}".encode() for path, text in OTHERS.items()}
    return {"/vmlinuz": kernel, "/initrd.img": initrd, **entries}
