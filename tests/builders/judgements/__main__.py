"""Write tests/golden/judgements/table.txt anew."""

from __future__ import annotations

from tests.builders.judgements import GOLDEN
from tests.builders.judgements.kinds import whole_table

GOLDEN.write_text(whole_table())
print(f"{GOLDEN}: look at what changed before you keep it")
