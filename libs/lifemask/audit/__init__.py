"""Audits: from a model to its chain, each link with what it was compared with; the sweep for what no chain explains.

Judging is pure (`case` and what judges it); `collecting`, `hub`, `provider` and `records` read the outside.
"""
