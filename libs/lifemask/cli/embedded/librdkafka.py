"""The few functions of librdkafka's mock cluster that we call, with their C signatures (rdkafka_mock.h).

The library is the one inside the `confluent-kafka` wheel; its Python module is not imported.
"""

import ctypes
import functools
import importlib.util
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

from lifemask.cli.embedded.process import EmbeddedPartError

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_err2str": (c_char_p, [c_int]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
}


@functools.cache
def load() -> ctypes.CDLL:
    """Raises EmbeddedPartError when the wheel is missing or brings no library for this system."""
    library = ctypes.CDLL(str(_find()))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _find() -> Path:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise EmbeddedPartError(
            "the embedded Kafka broker needs the confluent-kafka wheel: pip install 'lifemask[one-machine]', "
            "or name a real broker in LIFEMASK_KAFKA"
        )
    package = Path(spec.origin).parent
    places = ((package.parent / "confluent_kafka.libs", "librdkafka-*.so*"), (package / ".dylibs", "librdkafka*.dylib"))
    for folder, pattern in places:
        for library in sorted(folder.glob(pattern)):
            return library
    raise EmbeddedPartError(
        f"no librdkafka beside {package}: this confluent-kafka was not installed from a wheel for Linux or macOS; "
        "install the wheel (pip install --only-binary :all: confluent-kafka) or name a real broker in LIFEMASK_KAFKA"
    )
