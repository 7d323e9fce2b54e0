"""Synthetic portraits for a demonstration: one invented person in many places, as several cameras would keep them."""

from lifemask.cli.portraits.album import Drawn, Flaw, draw_album

__all__ = ["Drawn", "Flaw", "draw_album"]
