"""Runs the processes of one machine: in order, again when they end, and never longer than itself.

It knows processes only: no service is imported here.
"""

from lifemask.cli.supervisor.child import Child, Failure
from lifemask.cli.supervisor.console import Console
from lifemask.cli.supervisor.supervisor import Interrupted, StartError, Supervisor, supervised

__all__ = ["Child", "Console", "Failure", "Interrupted", "StartError", "Supervisor", "supervised"]
