"""`python -m lifemask.ingest.openapi` prints the API's description; needs no service."""

import json
import sys

from lifemask.ingest.http.app import describe


def main() -> None:
    """Writes the OpenAPI document to standard output."""
    json.dump(describe(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
