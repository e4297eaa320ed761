"""What the kernel means when it refuses. Spec: kexec_load(2); kernel/kexec.c, kernel/kexec_file.c, and what was tried
on Debian's kernels with lockdown and UEFI secure boot.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

COMMON = {
    errno.EPERM: "the running kernel is locked down, or kexec was disabled (kexec_load_disabled)",
    errno.EBUSY: "another kexec is under way",
    errno.ENOMEM: "there is not enough memory to hold the kernel twice",
    errno.ENOSYS: "the running kernel was built without it",
}
LOAD = {
    **COMMON,
    errno.EACCES: "secure boot or the integrity policy (IMA) forbids kexec_load: only a file can be judged",
    errno.EINVAL: "the running kernel did not accept the segments",
    errno.EADDRNOTAVAIL: "a segment lies where the running kernel lets nothing be put",
}
FILE = {
    **COMMON,
    errno.ENODATA: "the kernel is not signed, and the running kernel demands a signature",
    errno.EKEYREJECTED: "the kernel's signature does not fit its bytes",
    errno.ENOKEY: "the kernel is signed with a key that the running kernel does not have",
    errno.EBADMSG: "the kernel's signature cannot be read by the running kernel",
    errno.ELIBBAD: "the kernel's PE structure is damaged where the signature should be",
    errno.ENOEXEC: "the running kernel does not know the format of this kernel",
    errno.EINVAL: "the running kernel refused the kernel, its initrd or its command line",
    errno.ETXTBSY: "the kernel file is open for writing",
    errno.EACCES: "the running kernel's security policy forbids it",
    errno.EADDRNOTAVAIL: "the running kernel found no place for the kernel or its initrd",
    errno.EFBIG: "the kernel or its initrd is too long",
    errno.EKEYREVOKED: "the key that signed the kernel is revoked",
    errno.EKEYEXPIRED: "the key that signed the kernel has expired",
}


def sentence_of(number: int, table: Mapping[int, str]) -> str:
    """Return what an errno of a kexec call means."""
    return table.get(number, "the running kernel refused")
