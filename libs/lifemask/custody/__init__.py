"""Whose photos made this model: statements of each step, linked by digest, verified before the next one acts."""

from lifemask.custody.broken import CustodyBroken
from lifemask.custody.chain import Chain
from lifemask.custody.verify import Link

__all__ = ["Chain", "CustodyBroken", "Link"]
