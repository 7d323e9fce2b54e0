"""`python -m lifemask.runtime.probe [PORT [PATH]]`: the health check of a container. Exit code 0 when it answers 200.

PORT is LIFEMASK_PORT's unless given, PATH `/readyz`. It is started every few seconds beside a service at work, so it
imports nothing but the standard library: the settings alone would cost it ten times as much.
"""

import http.client
import os
import sys
from collections.abc import Sequence

_PATIENCE = 4.0  # seconds; the image allows the whole check 5


def main(arguments: Sequence[str]) -> int:
    """Asks once. What a service answers is printed, so that the container's health log says why it is not ready."""
    port = int(arguments[0]) if arguments else int(os.environ.get("LIFEMASK_PORT") or 8080)
    path = arguments[1] if len(arguments) > 1 else "/readyz"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.read().decode(errors="replace"))  # noqa: T201  the container engine keeps it
    except (OSError, http.client.HTTPException) as error:
        print(f"nothing answers on port {port}: {type(error).__name__}")  # noqa: T201  likewise
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
