"""bootshim: a boot shim for LinuxBoot.

The flow, one call a stage (`shim.boot`):

    discover -> entries -> choose -> fetch -> verify -> measure -> plan -> load -> jump

The layers, low to high. A module imports its own package or a lower layer, never a sibling stage:

    errors units values      words that everything uses
    ranges                   interval arithmetic
    formats                  bytes <-> values, one specification a file
    model ports              the nouns of a boot; the outside world as Protocols
    tpm                      the dialogue with a TPM, over its port
    discover entries fetch verify measure memory load ui purgatory    the stages
    system                   the edge: the only package that makes system calls
    config report            what was asked for, and what happened
    images                   disk images and ISO files, read on the host
    boot                     the flow
    cli init                 the host command; PID 1
    testing                  the host command for pytest

Everything but `system` is pure: it takes ports as arguments and does no I/O of its own.
"""
