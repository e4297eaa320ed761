"""What an initramfs out of an ISO file must be told, to find the ISO again: one table, each row with its source.

A kernel that was loaded out of an ISO on a disk looks for a CD. Each distribution's initramfs has words of its own that
name the file instead, and the file system that it is on.
"""

from __future__ import annotations

from shim.entries.reading import CONTROLS
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.model import Entry, Volume

PATH_SIZE_MAX = 1024
SEPARATORS = ("---", "--")  # what stands behind is for the installed system


class Hint(Value):
    """A family of initramfs: how it is known, and what it needs.

    Known by a word of the command line (`words`; one that ends with = : or / is the beginning of a word), or by where
    in the ISO its kernel lies (`directories`). `adds` are the words that it needs: {path} is the ISO's on its volume,
    {device} that volume's as udev names it, {label} the ISO's own; `when_missing` are (beginning, word) of those that
    are added where no word begins so. A word that begins as one of `says` means that nothing is to be added.
    """

    name: str
    words: tuple[str, ...]
    adds: tuple[str, ...]
    says: tuple[str, ...]
    source: str
    directories: tuple[str, ...] = ()
    when_missing: tuple[tuple[str, str], ...] = ()


HINTS = (
    Hint(
        name="casper", words=("boot=casper",), directories=("/casper",), adds=("iso-scan/filename={path}",),
        says=("iso-scan/filename=",),
        source="casper, scripts/lupin-helpers; /boot/grub/loopback.cfg of Ubuntu's images"),
    Hint(
        name="live-boot", words=("boot=live",), directories=("/live",), adds=("findiso={path}",),
        says=("findiso=", "fromiso="), when_missing=(("boot=", "boot=live"),),
        source="live-boot(7), findiso; lib/live/boot/9990-misc-helpers.sh of Debian 12"),
    Hint(
        name="archiso", words=("archisobasedir=", "archisolabel=", "archisosearchuuid="), directories=("/arch/boot",),
        adds=("img_dev={device}", "img_loop={path}"), says=("img_loop=",),
        source="mkinitcpio-archiso, docs/README.bootparams, hooks/archiso_loop_mnt"),
    Hint(
        name="miso", words=("misobasedir=", "misolabel="), adds=("img_dev={device}", "img_loop={path}"),
        says=("img_loop=",), source="manjaro-tools, initcpio/hooks/miso_loop_mnt"),
    Hint(
        name="artix", words=("artixbasedir=", "artixlabel="), adds=("img_dev={device}", "img_loop={path}"),
        says=("img_loop=",), source="artools, initcpio/hooks/artix_loop_mnt"),
    Hint(
        name="nixos", words=("init=/nix/store/",), adds=("findiso={path}",), says=("findiso=",),
        source="nixpkgs, nixos/modules/system/boot/stage-1-init.sh; loopback.cfg of iso-image.nix"),
    Hint(
        name="genkernel", words=("cdroot", "cdroot="), adds=("isoboot={path}",), says=("isoboot=",),
        source="genkernel(8), isoboot="),
    Hint(
        name="minios", words=(), directories=("/minios",), adds=("from={path}",), says=("from=",),
        source="https://github.com/minios-linux/minios-live/wiki, System Discovery, from=PATH"),
    Hint(
        name="anaconda", words=("inst.stage2=", "inst.repo="), adds=("iso-scan/filename={path}",),
        says=("iso-scan/filename=", "inst.repo=hd:"),
        source="dracut.cmdline(7), iso-scan/filename; Anaconda, docs/boot-options.rst: dracut's words are valid"),
    Hint(
        name="dracut", words=("root=live:", "rd.live.image", "rd.live.image=", "rd.live.dir="),
        directories=("/LiveOS",), adds=("iso-scan/filename={path}",), says=("iso-scan/filename=",),
        when_missing=(("root=", "root=live:CDLABEL={label}"), ("rd.live.image", "rd.live.image")),
        source="dracut.cmdline(7), iso-scan/filename and Booting live images"),
)


def find_hint(entry: Entry) -> Hint | None:
    """Return the first row that fits an entry out of an ISO; None where it is of no family in the table."""
    words = (entry.cmdline or "").split()
    for hint in HINTS:
        if any(_is(word, sign) for word in words for sign in hint.words):
            return hint
    kernel = entry.linux.path if entry.linux is not None else ""
    return next((hint for hint in HINTS if any(kernel.startswith(f"{place}/") for place in hint.directories)), None)


def complete_for_iso(entry: Entry, volume: Volume, path: str, label: str | None = None) -> Entry:
    """Return an entry out of an ISO with the words that let its initramfs find `path` on `volume` again, and why.

    `label` is the ISO's own. Nothing is added that the entry says already. Hidden where a word is needed that cannot be
    said: the volume has no UUID and no label, the ISO has none, or its path has a blank in it.
    """
    if entry.cmdline is None or entry.linux is None:
        return entry.traced(f"out of {volume.name}:{path}; it brings its own command line, which stays as it is")
    hint = find_hint(entry)
    where = f"out of {volume.name}:{path}"
    if hint is None:
        return entry.traced(f"{where}; of no family that is known to look for an ISO: nothing is added")
    words = entry.cmdline.split(" ")
    if any(word.startswith(sign) for word in words for sign in hint.says):
        return entry.traced(f"{where}; its configuration says so already ({hint.name})")
    if not path.startswith("/") or not path.isprintable() or " " in path or len(path) > PATH_SIZE_MAX:
        return entry.traced(f"{where} ({hint.name})", hidden="the path of its ISO cannot be said on a command line")
    wanted = [*hint.adds, *(add for start, add in hint.when_missing if not any(map(_starts(start), words)))]
    known = {"path": path, "device": _device(volume), "label": label}
    added = [_filled(word, known) for word in wanted]
    missing = [word for word, text in zip(wanted, added, strict=True) if text is None]
    if missing:
        return entry.traced(f"{where} ({hint.name})", hidden=f"nothing is known to say in {missing[0]}")
    at = next((at for at, word in enumerate(words) if word in SEPARATORS), len(words))
    cmdline = " ".join(word for word in (*words[:at], *(text or "" for text in added), *words[at:]))
    sentence = f"{where}: {' '.join(text or '' for text in added)} lets its initramfs find that again ({hint.name})"
    return entry.traced(sentence, cmdline=cmdline.strip())


def _is(word: str, sign: str) -> bool:
    return word.startswith(sign) if sign[-1] in "=:/" else word == sign


def _starts(start: str) -> Callable[[str], bool]:
    return lambda word: word.startswith(start)


def _device(volume: Volume) -> str | None:
    """Return a file system by what udev makes of its UUID, or of its label."""
    if volume.uuid and _plain(volume.uuid):
        return f"/dev/disk/by-uuid/{volume.uuid}"
    return f"/dev/disk/by-label/{volume.label}" if volume.label and _plain(volume.label) else None


def _plain(text: str) -> bool:
    """Say whether a text is one word on a command line, and as udev has it in a link."""
    return text.isascii() and all(letter.isalnum() or letter in "#+-.:=@_" for letter in text)


def _filled(word: str, known: dict[str, str | None]) -> str | None:
    """Return a word with what is known in its place; None where that is not known, or is no word."""
    for name, value in known.items():
        mark = "{" + name + "}"
        if mark in word:
            if value is None or " " in value or not CONTROLS.isdisjoint(value):
                return None
            word = word.replace(mark, value)
    return word
