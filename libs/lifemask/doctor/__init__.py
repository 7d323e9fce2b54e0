"""Probes: every call that a service makes outside, tried on its own rights and without leaving anything behind."""
