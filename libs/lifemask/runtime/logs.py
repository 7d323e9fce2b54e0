"""Logging: one JSON line (or, on a terminal, one readable line) per event, with run, hashed user and trace.

No payloads and no personal data: a user appears as the first 12 hexadecimal digits of the SHA-256 of its id. The text
of an exception may quote a row, a body or a file's name, so it is shown only where it cannot; else type and place.
"""

import hashlib
import logging
import socket
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace


def configure(service: str, level: str = "INFO") -> None:
    """Sets up structlog, and the standard library's logging to end in the same lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        _tell_exception,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=True) if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def hashed(user_id: str) -> str:
    """How a user appears in logs and spans: stable, not readable."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]


def told(problem: BaseException) -> str:
    """An exception with its causes: types, places and, where no personal data can be in it, text. Outermost first."""
    lines = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [problem]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        lines.append(": ".join(filter(None, [type(one).__qualname__, _text(one)])))
        frames = traceback.extract_tb(one.__traceback__)[-_FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))
    return "\n".join(lines)


def _text(problem: BaseException) -> str:
    """The text of our own exceptions, of connection problems; of the database its SQLSTATE; else nothing."""
    if type(problem).__module__.partition(".")[0] in ("lifemask", "aiokafka") or isinstance(problem, _SAFE):
        return str(problem)
    state = getattr(problem, "sqlstate", None)
    return f"SQLSTATE {state}" if state else ""


_SAFE = (ConnectionError, TimeoutError, socket.gaierror, RuntimeError)
_FRAMES = 12
"""Innermost frames shown of each exception."""


def _tell_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    problem = found[1] if isinstance(found, tuple) else found
    if isinstance(problem, BaseException):
        event["exception"] = told(problem)
    return event


def _add_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace"] = f"{context.trace_id:032x}"
    return event
