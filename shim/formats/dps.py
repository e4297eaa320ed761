"""What partition type GUIDs mean. Spec: UAPI.2, Discoverable Partitions Specification, "Partition types"."""

from __future__ import annotations

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"

# Architecture names are those of the BLS and of the EFI removable-media file names.
ROOTS = {
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "x64",
    "44479540-f297-41b2-9af7-d131d5f0458a": "ia32",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "aa64",
    "69dad710-2ce4-4e3c-b16c-21a1d49abed3": "arm",
    "72ec70a6-cf74-40e6-bd49-4bda08e8f224": "riscv64",
    "60d5a7fe-8e7d-435c-b714-3dd8162144e1": "riscv32",
    "77055800-792c-4f94-b39a-98c91b762bb6": "loongarch64",
}
USRS = {
    "8484680c-9521-48c6-9c11-b0720656f69e": "x64",
    "75250d76-8cc6-458e-bd66-bd47cc81a812": "ia32",
    "b0e01050-ee5f-4390-949a-9101b17104e9": "aa64",
    "7d0359a3-02b3-4f0a-865c-654403e70625": "arm",
    "beaec34b-8442-439b-a40b-984381ed097d": "riscv64",
    "b933fb22-5c3f-4f91-af90-e2bb0fa50702": "riscv32",
    "e611c702-575c-4cbe-9a46-434fa0bf7e3f": "loongarch64",
}
# Signatures of the root hashes of these, with those for architectures that nothing here boots left out.
VERITY_SIGNATURES = frozenset((
    "41092b05-9fc8-4523-994f-2def0408b176", "5996fc05-109c-48de-808b-23fa0830b676",
    "6db69de6-29f4-4758-a7a5-962190f00ce3", "42b0455f-eb11-491d-98d3-56145ba9d037",
    "efe0f087-ea8d-4469-821a-4c2a96a8386a", "3a112a75-8729-4380-b4cf-764d79934448",
    "5afb67eb-ecc8-4f85-ae8e-ac1e7c50e7d0",
    "e7bb33fb-06cf-4e81-8273-e543b413e2e2", "974a71c0-de41-43c3-be5d-5c5ccd1ad2c0",
    "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a", "d7ff812f-37d1-4902-a810-d76ba57b975a",
    "d2f9000a-7a18-453f-b5cd-4d32f77a7b32", "c3836a13-3137-45ba-b583-b16c50fe5eb4",
    "b024f315-d330-444c-8461-44bbde524e99",
))  # fmt: skip


def is_verity_signature(parttype: str) -> bool:
    """Say whether a partition holds the signature of a dm-verity root hash."""
    return parttype.lower() in VERITY_SIGNATURES


def kind_of(parttype: str) -> str:
    """Return what a partition type is for: esp, xbootldr, root, usr or other (values of `PartitionKind`)."""
    wanted = parttype.lower()
    if wanted == ESP:
        return "esp"
    if wanted == XBOOTLDR:
        return "xbootldr"
    if wanted in ROOTS:
        return "root"
    return "usr" if wanted in USRS else "other"


def architecture_of(parttype: str) -> str | None:
    """Return for which architecture a root or /usr partition is, None for every other type."""
    return ROOTS.get(parttype.lower()) or USRS.get(parttype.lower())
