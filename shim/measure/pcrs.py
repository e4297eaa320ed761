"""The plan: what is measured into which PCR. The one place for it; docs/measuring.md shows this table.

Spec: UAPI.7, Linux TPM PCR Registry; systemd 257, TPM2_PCR_MEASUREMENTS.md. 0 to 7 belong to the firmware, 10 to IMA,
14 to rhboot's shim, 15 to the system's identity: nothing here touches those. 11 to 13 hold what systemd-stub puts
there, event by event, so that a policy made for it holds. 8 and 9 are GRUB's and the EFI stub's: what they would
have measured of this boot (commands, then files) is what is measured there, and neither of them runs behind us.
"""

from __future__ import annotations

from shim.values import Value


class Use(Value):
    """One use of a PCR: its number, what is measured, and what exactly is hashed."""

    pcr: int
    what: str
    hashed: str


CONFIG = Use(pcr=8, what="the boot shim's configuration, each file it names, each override that was obeyed",
             hashed="the file's bytes; an override's word")  # fmt: skip
ENTRY = Use(pcr=8, what="the entry that is tried", hashed="the entry's id, in UTF-8")
KERNEL = Use(pcr=9, what="a kernel that is no UKI", hashed="the file's bytes")
INITRD = Use(pcr=9, what="each initrd that is not in a UKI", hashed="the file's bytes")
PACKAGE = Use(pcr=9, what="an OS package, its kernel and its initramfs",
              hashed="three events: the archive's bytes, then the bytes of each file")  # fmt: skip
DEVICETREE = Use(pcr=9, what="a device tree that is not in a UKI", hashed="the file's bytes")
SECTION = Use(pcr=11, what="each section of a UKI, in systemd-stub's order",
              hashed="two events: the section's name with its NUL, then its bytes")  # fmt: skip
CMDLINE = Use(pcr=12, what="a command line that is not the UKI's own", hashed="the text in UTF-16LE with its NUL")
PROFILE = Use(pcr=12, what="the number of a UKI's profile, where it is not the first",
              hashed="the number in decimal, in UTF-16LE with its NUL")  # fmt: skip
ADDON_CMDLINE = Use(pcr=12, what="what the add-ons of a UKI append to the command line, all together",
                    hashed="the text in UTF-16LE with its NUL")  # fmt: skip
ADDON_PART = Use(pcr=12, what="each microcode, and each initrd, of an add-on", hashed="the section's bytes")
PARAMETERS = Use(pcr=12, what="credentials, global credentials and configuration extensions beside a UKI",
                 hashed="the archive that is made of them, one for each of the three")  # fmt: skip
EXTENSION = Use(pcr=13, what="system extensions beside a UKI", hashed="the archive that is made of them")

PLAN = (CONFIG, ENTRY, KERNEL, INITRD, PACKAGE, DEVICETREE, SECTION, PROFILE, CMDLINE, ADDON_CMDLINE, ADDON_PART,
        PARAMETERS, EXTENSION)  # fmt: skip

# The tags of EV_EVENT_TAG events. Spec: systemd 257, src/fundamental/tpm2-pcr.h.
PROFILE_TAG, ADDON_INITRD_TAG, ADDON_UCODE_TAG = 0x13AED6DB, 0x49DFFE0F, 0xDAC08E1A

# The order in which systemd-stub 257 measures (src/fundamental/uki.h, UnifiedSection). `.pcrsig` is left out: it
# signs the outcome. Of the `.dtbauto` sections it measures the one that fits the machine.
DTBAUTO = ".dtbauto"
SECTIONS = (
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile",
    DTBAUTO, ".hwids",
)  # fmt: skip
