"""Whose photos made this model: signed statements of each step, linked by digest, verified before the next one acts."""

from lifemask.custody.broken import CustodyBroken
from lifemask.custody.chain import Chain
from lifemask.custody.links import Link
from lifemask.custody.reading import Reader, Recorded
from lifemask.custody.refusing import Refusals, refusing
from lifemask.custody.requests import sealed_request
from lifemask.custody.rows import RowCodes

__all__ = ["Chain", "CustodyBroken", "Link", "Reader", "Recorded", "Refusals", "RowCodes", "refusing", "sealed_request"]
