"""The purgatory: what runs between the two kernels, and checks what it is about to start."""
