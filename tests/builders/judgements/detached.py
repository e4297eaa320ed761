"""The rows that all kinds have in common that sign the bytes of a file, whoever makes the signature."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.builders.debian import kernel
from tests.builders.judgements import Bench, File, Row, previous_kernel, real_kernel
from tests.builders.target import second_initrd


class Scheme(NamedTuple):
    """How a kind signs: `sign` by a key of the policy, `stranger` by another.

    `moved` puts the signature of one signed file to the bytes of another, `halved` cuts one byte off the end of a
    signature, `twice` has the signature two times.
    """

    sign: Callable[[bytes], File]
    stranger: Callable[[bytes], File]
    moved: Callable[[File, bytes], File]
    halved: Callable[[File], File]
    twice: Callable[[File], File]


def moved_beside(signed: File, data: bytes) -> File:
    return File(data, signed.beside)


def halved_beside(signed: File) -> File:
    return File(signed.data, {suffix: data[:-1] for suffix, data in signed.beside.items()})


def first_rows(bench: Bench, scheme: Scheme) -> Iterator[Row]:
    """Give the rows of "tampered" and "wrong key"."""
    signed = scheme.sign(real_kernel())
    yield bench.trial("tampered", "one bit of the kernel is another", scheme.moved(
        signed, File(real_kernel()).spoiled().data))
    yield bench.trial("wrong key", "signed by a key that the policy does not have", scheme.stranger(real_kernel()))


def last_rows(bench: Bench, scheme: Scheme) -> Iterator[Row]:
    """Give the rows from "truncated" on."""
    signed, initrd = scheme.sign(real_kernel()), scheme.sign(an_initrd())
    yield bench.trial("truncated", "the kernel lacks its last byte", scheme.moved(signed, real_kernel()[:-1]))
    yield bench.trial("truncated", "the signature lacks its last byte", scheme.halved(signed))
    yield bench.trial("duplicated", "the signature is there twice", scheme.twice(signed))
    yield bench.needs_two(scheme.twice(signed), "the signature is there twice")
    yield bench.trial("another role", "a signed initrd in place of the kernel (the bytes are signed, not their role)",
                      initrd)
    yield bench.trial("another role", "the initrd's signature with the kernel", scheme.moved(initrd, real_kernel()))
    yield from replayed_rows(bench, scheme)


def replayed_rows(bench: Bench, scheme: Scheme) -> Iterator[Row]:
    old = scheme.sign(previous_kernel())
    yield bench.trial("replayed", "the previous kernel's signature with this kernel", scheme.moved(old, real_kernel()))
    yield bench.trial("replayed", "the previous kernel with its signature (nothing in it says its age)", old)
    digest = bench.named(hashlib.sha256(old.data).hexdigest(), "SHA-256-OF-THE-PREVIOUS-KERNEL")
    yield bench.trial("replayed", "the same, and the policy's dbx names the previous kernel", old, dbx_sha256=[digest])
    bench.named(kernel().release, "DEBIANS-RELEASE")
    yield bench.trial("replayed", "a kernel of Debian with its signature, older than the policy's minimum_version",
                      scheme.sign(kernel().image.read_bytes()), rule={"minimum_version": "7"})


def an_initrd() -> bytes:
    return second_initrd("an initrd")


def revoked_file(bench: Bench, signed: File) -> Row:
    """Return the trial of a good file whose SHA-256 is revoked."""
    digest = bench.named(hashlib.sha256(signed.data).hexdigest(), "SHA-256-OF-THE-KERNEL")
    return bench.trial("revoked", "the policy's dbx names the file's SHA-256", signed, dbx_sha256=[digest])
