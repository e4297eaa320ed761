"""Verify: from a `Candidate` and a policy to `Verified`; closed when anything is missing."""
