"""Load: from `Verified` to what kexec_load or kexec_file_load is told."""
