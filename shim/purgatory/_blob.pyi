"""The module that `python -m shim.purgatory.build` writes. Meanings: `shim.purgatory.args.PurgatoryBlob`."""

CODE: bytes
ENTRY: int
ARGS: int
SIZE: int
