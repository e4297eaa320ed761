"""The policy: closed where it is silent, wrong where it is unclear, and every piece judged for its role."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from shim.config import parse_config
from shim.errors import ConfigError, VerifyError
from shim.model import Artifact, Candidate, Entry, FileRef, PartitionKind, Role, Verified, Volume
from shim.system.blobs import MemoryBlobs
from shim.verify import verify
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from tests.builders import debian
from tests.builders.signing import Identity, Signing, identity, key, signed_pe, small_pe
from tests.builders.uki import make_uki
from tests.unit.judging import judge, policy

INITRD, DEVICETREE, LINE = b"070701 an initrd", b"\xd0\x0d\xfe\xed a tree", "root=/dev/vda2 ro"
SIGNED, UNSIGNED = {"require": ["authenticode"]}, {"require": ["unsigned"]}


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


@pytest.fixture(scope="module")
def kernel(root: Identity) -> bytes:
    return signed_pe(small_pe(), Signing(root))


def pin(data: bytes) -> dict[str, object]:
    return {"require": ["sha256"], "sha256": [hashlib.sha256(data).hexdigest()]}


def exact(*lines: str) -> dict[str, object]:
    return {"require": ["exact"], "exact": list(lines)}


def artifact(role: Role, data: bytes, name: str = "") -> Artifact:
    sink = MemoryBlobs().create(role.value)
    sink.write(data)
    digest = hashlib.sha256(data).digest()
    return Artifact(role=role, name=name or f"disk:/{role.value}", size=len(data), sha256=digest, blob=sink.seal())


def candidate(kernel: bytes, role: Role = Role.KERNEL, **parts: object) -> Candidate:
    entry = Entry(id="e", dialect="test", volume="disk", source="here", linux=FileRef(volume="disk", path="/kernel"))
    cmdline = None if role is Role.UKI else LINE
    return Candidate(entry=entry, kernel=artifact(role, kernel), **{"cmdline": cmdline, **parts})


def refusal(given: Candidate, rules: Policy) -> VerifyError:
    with pytest.raises(VerifyError) as caught:
        verify(given, rules, hashlib.sha256)
    assert caught.value.verdicts or "command line" in str(caught.value)
    return caught.value


def test_everything_that_a_kernel_would_see_is_judged(kernel: bytes, root: Identity) -> None:
    rules = policy([root], kernel=SIGNED, cmdline=exact(LINE), initrd=pin(INITRD), devicetree=pin(DEVICETREE))
    given = candidate(
        kernel, initrds=(artifact(Role.INITRD, INITRD),), devicetree=artifact(Role.DEVICETREE, DEVICETREE)
    )
    verified = verify(given, rules, hashlib.sha256)
    assert isinstance(verified, Verified) and verified.candidate is given
    assert [(one.role.value, one.rule, one.accepted) for one in verified.verdicts] == [
        ("kernel", "authenticode", True), ("cmdline", "exact", True), ("initrd", "sha256", True),
        ("devicetree", "sha256", True),
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["kernel", "cmdline", "initrd", "devicetree"])
def test_a_role_without_a_rule_is_refused(role: str, kernel: bytes, root: Identity) -> None:
    roles = {"kernel": SIGNED, "cmdline": UNSIGNED, "initrd": UNSIGNED, "devicetree": UNSIGNED}
    given = candidate(
        kernel, initrds=(artifact(Role.INITRD, INITRD),), devicetree=artifact(Role.DEVICETREE, DEVICETREE)
    )
    others = {name: rule for name, rule in roles.items() if name != role}
    for broken in ({}, {role: {"require": []}}, {role: {}}):
        problem = refusal(given, policy([root], **others, **broken))
        assert f"the {role} is not trusted: the policy has no rule" in str(problem)
        assert [one.accepted for one in problem.verdicts] == [one.role.value != role for one in problem.verdicts]


def test_an_empty_policy_refuses_everything(kernel: bytes) -> None:
    problem = refusal(candidate(kernel), parse_policy({}, dict[str, bytes]().__getitem__))
    assert not any(verdict.accepted for verdict in problem.verdicts)


def test_one_initrd_of_several_is_enough_to_refuse(kernel: bytes, root: Identity) -> None:
    rules = policy([root], kernel=SIGNED, cmdline=exact(LINE), initrd=pin(INITRD))
    good, bad = artifact(Role.INITRD, INITRD), artifact(Role.INITRD, INITRD + b"!", "disk:/evil")
    verify(candidate(kernel, initrds=(good, good)), rules, hashlib.sha256)
    problem = refusal(candidate(kernel, initrds=(good, bad, good)), rules)
    assert "the initrd is not trusted: its SHA-256 is not pinned" in str(problem)
    assert "disk:/evil" in str(problem)


def test_a_uki_covers_its_parts_and_nothing_beside_it(kernel: bytes, root: Identity) -> None:
    rules = policy([root], uki=SIGNED)
    whole = candidate(kernel, Role.UKI)
    assert len(verify(whole, rules, hashlib.sha256).verdicts) == 1
    assert "the cmdline is not trusted" in str(refusal(whole.replace(cmdline=LINE), rules))
    assert "the cmdline is not trusted" in str(refusal(whole.replace(cmdline=""), rules))
    beside = whole.replace(initrds=(artifact(Role.INITRD, INITRD),))
    assert "the initrd is not trusted" in str(refusal(beside, rules))
    assert "the devicetree is not trusted" in str(
        refusal(whole.replace(devicetree=artifact(Role.DEVICETREE, DEVICETREE)), rules)
    )
    assert "the kernel is not trusted" in str(refusal(candidate(kernel), rules))
    verify(whole.replace(cmdline=LINE), policy([root], uki=SIGNED, cmdline=exact(LINE)), hashlib.sha256)


def test_the_command_line(kernel: bytes, root: Identity) -> None:
    def rules(rule: Mapping[str, object]) -> Policy:
        return policy([root], kernel=SIGNED, cmdline=rule)

    for line in (LINE + " ", LINE.upper(), "", LINE + " init=/evil", " " + LINE):
        assert "none of the command lines" in str(refusal(candidate(kernel, cmdline=line), rules(exact(LINE, "other"))))
        verify(candidate(kernel, cmdline=line), rules(UNSIGNED), hashlib.sha256)
        verify(candidate(kernel, cmdline=line), rules(pin(line.encode())), hashlib.sha256)
    verify(candidate(kernel, cmdline="quiet ü"), rules(exact("quiet ü")), hashlib.sha256)
    for odd in (LINE + "\0init=/evil", "\udc80"):
        assert "the command line" in str(refusal(candidate(kernel, cmdline=odd), rules(UNSIGNED)))
    assert "has no command line of its own" in str(refusal(candidate(kernel, cmdline=None), rules(UNSIGNED)))


def test_any_kind_of_several_is_enough(kernel: bytes, root: Identity) -> None:
    stranger = identity("Stranger", key("p256", 1), ca=True)
    either = {"require": ["authenticode", "sha256"], "sha256": [hashlib.sha256(kernel).hexdigest()]}
    for anchor, rule in ((root, "authenticode"), (stranger, "sha256")):
        rules = policy([anchor], kernel=either, cmdline=UNSIGNED)
        assert verify(candidate(kernel), rules, hashlib.sha256).verdicts[0].rule == rule
    text = str(refusal(candidate(small_pe()), policy([root], kernel=either, cmdline=UNSIGNED)))
    assert "it carries no signature; its SHA-256 is not pinned" in text


def test_unsigned_is_said() -> None:
    rules = policy(kernel=SIGNED | {"require": []}, cmdline=UNSIGNED, initrd={"require": ["sha256"]})
    assert [role.value for role in Role if rules.allows_unsigned(role)] == ["cmdline"]
    verdict = verify(candidate(b"anything"), policy(kernel=UNSIGNED, cmdline=UNSIGNED), hashlib.sha256).verdicts[0]
    assert verdict.reason == "the policy takes any kernel: NOT verified"


DIGEST = "00" * 32


@pytest.mark.parametrize(
    ("table", "key", "reason"),
    [
        ({"kernal": {}}, "policy.kernal", "unknown key"),
        ({"kernel": {"requre": []}}, "policy.kernel.requre", "unknown key"),
        ({"kernel": {"require": ["exact"]}}, "policy.kernel.require", "not a kind for this role"),
        ({"initrd": {"require": ["authenticode"]}}, "policy.initrd.require", "not a kind for this role"),
        ({"kernel": {"require": ["authenticode"]}}, "policy.kernel.require", "needs policy.anchors"),
        ({"kernel": {"require": "sha256"}}, "policy.kernel.require", "wrong type"),
        ({"kernel": {"require": [1]}}, "policy.kernel.require", "wrong type"),
        ({"kernel": []}, "policy.kernel", "must be a table"),
        ({"kernel": {"require": ["sha256"], "sha256": ["00"]}}, "policy.kernel.sha256", "not a SHA-256"),
        ({"kernel": {"require": ["sha256"], "sha256": ["0 " * 32]}}, "policy.kernel.sha256", "not a SHA-256"),
        ({"kernel": {"require": ["sha256"], "sha256": ["zz" * 32]}}, "policy.kernel.sha256", "not a SHA-256"),
        ({"kernel": {"require": ["unsigned"], "sha256": [DIGEST]}}, "policy.kernel.sha256", "has no effect"),
        ({"kernel": {"sha256": [DIGEST]}}, "policy.kernel.sha256", "has no effect"),
        ({"kernel": {"require": ["unsigned"], "unsigned": ["x"]}}, "policy.kernel.unsigned", "pins nothing"),
        ({"initrd": {"require": ["sha256"], "exact": ["x"]}}, "policy.initrd.exact", "unknown key"),
        ({"cmdline": {"require": ["exact"], "exact": ["a\nb"]}}, "policy.cmdline.exact", "not printable"),
        ({"dbx_sha256": ["00"]}, "policy.dbx_sha256", "not a SHA-256"),
        ({"anchors": "a.pem"}, "policy.anchors", "wrong type"),
        ({"anchors": ["broken.pem"]}, "policy.anchors", "not a usable certificate"),
        ({"dbx": ["broken.pem"]}, "policy.dbx", "not a usable dbx"),
    ],
)
def test_a_policy_that_is_wrong_names_the_key(table: dict[str, object], key: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_policy(table, {"broken.pem": b"-----BEGIN CERTIFICATE-----"}.__getitem__)
    assert caught.value.facts["key"] == key


def test_the_configuration_names_files_and_lines(root: Identity) -> None:
    text = f'[policy]\nanchors = ["both.pem"]\ndbx_sha256 = ["{DIGEST}"]\n\n'
    text += '[policy.kernel]\nrequire = ["authenticode"]\n'
    both = root.pem + identity("Other", key("p256", 1)).pem
    config = parse_config(text, "my.toml", {"both.pem": both}.__getitem__)
    assert [anchor.subject_text for anchor in config.policy.anchors] == ["Root", "Other"]
    assert config.files == ("both.pem",)
    with pytest.raises(ConfigError, match=r"line=7, key=policy\.kernel\.requre"):
        parse_config(text + "requre = []\n", "my.toml", {"both.pem": both}.__getitem__)


def test_a_volume_has_rules_of_its_own(kernel: bytes, root: Identity) -> None:
    """The first source that matches counts; what it does not name stays as it is."""
    table = {
        "anchors": ["ca"], "kernel": SIGNED, "cmdline": exact(LINE), "source": [
            {"match": {"removable": True}, "kernel": {"require": []}},
            {"match": {"label": "RESCUE", "kind": "esp"}, "cmdline": exact("rescue")},
            {"match": {"kind": "esp"}, "cmdline": UNSIGNED},
        ],
    }  # fmt: skip
    rules = parse_policy(table, {"ca": root.der}.__getitem__)

    def told(line: str = LINE, **facts: object) -> str:
        volume = Volume(name="disk", **facts)  # type: ignore[arg-type]
        try:
            verify(candidate(kernel, cmdline=line), rules, hashlib.sha256, {"disk": volume})
        except VerifyError as problem:
            return problem.reason
        return "good"

    assert told() == "good"
    assert "the policy has no rule that would take a kernel" in told(removable=True)
    assert "the policy has no rule" in told(removable=True, label="RESCUE", kind=PartitionKind.ESP)
    assert told("anything", kind=PartitionKind.ESP) == "good"
    assert "none of the command lines" in told("anything", label="RESCUE")
    assert "none of the command lines" in told("anything", label="RESCUE", kind=PartitionKind.ESP)
    assert told("rescue", label="RESCUE", kind=PartitionKind.ESP) == "good"
    verify(candidate(kernel), rules, hashlib.sha256)  # a volume that nobody knows has the common rules


@pytest.mark.parametrize(("source", "sentence"), [
    (3, "must be a list of tables"), ([3], "must be a list of tables"), ([{"kernel": UNSIGNED}], "to be known by"),
    ([{"match": {}, "kernel": UNSIGNED}], "to be known by"), ([{"match": {"color": "red"}}], "not a thing"),
    ([{"match": {"removable": "yes"}}], "not a thing"), ([{"match": {"kind": "boot"}}], "no such kind of partition"),
    ([{"match": {"label": "x"}, "anchors": []}], "unknown key"),
    ([{"match": {"label": "x"}, "kernel": {"require": ["minisign"]}}], "needs policy.keys.minisign"),
    ([{"match": {"label": "x"}, "kernel": {"require": ["manifest"]}}], "needs the table policy.manifest"),
])  # fmt: skip
def test_a_source_that_makes_no_sense_is_refused(source: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_policy({"source": source}, dict[str, bytes]().__getitem__)


@pytest.mark.tools
@pytest.mark.parametrize(("minimum", "sentence"), [
    ("6.1.0-1-cloud-amd64", ""), ("6.1.0", ""), ("7", "the kernel is too old"),
    ("6.1.0-9999", "the kernel is too old (expected=6.1.0-9999, found=6.1.0-"),
    ("8", "the kernel is too old"),
])  # fmt: skip
def test_a_kernel_may_be_too_old(minimum: str, sentence: str, tmp_path: Path) -> None:
    """A kernel that Debian signed, bare and in a UKI: the version is what the signature covers."""
    image = debian.kernel().image
    uki = make_uki(tmp_path / "uki.efi", image, [], "quiet").read_bytes()
    for role, data in ((Role.KERNEL, image.read_bytes()), (Role.UKI, uki)):
        rules = policy(**{role.value: {**pin(data), "minimum_version": minimum}})
        verdict = judge(data, rules, role)
        assert verdict.accepted is not bool(sentence), verdict.reason
        assert sentence in verdict.reason
        assert (verdict.rule == "minimum_version") is bool(sentence)


def test_a_kernel_that_does_not_say_its_version_is_too_old(kernel: bytes) -> None:
    assert "no version can be read" in judge(kernel, policy(kernel={**pin(kernel), "minimum_version": "1"})).reason
    for nonsense in ("", 6, "\n"):
        with pytest.raises(ConfigError, match="not a version"):
            policy(kernel={**pin(kernel), "minimum_version": nonsense})
    with pytest.raises(ConfigError, match="unknown key"):
        policy(initrd={**pin(kernel), "minimum_version": "1"})
