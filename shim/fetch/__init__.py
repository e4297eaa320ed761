"""Fetch: from an `Entry` to `Artifact`s, each byte read once and hashed on the way."""
