"""What we use of `huggingface_hub`, imported in one place because its switches are read at import.

Without Xet, since plain LFS works with every hub, and a 429 on the other path blocks a thread for minutes.
"""

import logging
import os

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    ModelCardData,
    get_session,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, but not re-exported for type checkers
    build_hf_headers,
    hf_raise_for_status,
)

logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings name signed upload links

__all__ = [
    "CommitOperationAdd",
    "EntryNotFoundError",
    "HfApi",
    "HfHubHTTPError",
    "ModelCardData",
    "OfflineModeIsEnabled",
    "build_hf_headers",
    "get_session",
    "hf_hub_url",
    "hf_raise_for_status",
    "set_client_factory",
]
