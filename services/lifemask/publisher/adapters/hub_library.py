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
    set_client_factory,
)
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoFile

logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings name signed upload links

__all__ = [
    "CommitOperationAdd",
    "HfApi",
    "HfHubHTTPError",
    "ModelCardData",
    "OfflineModeIsEnabled",
    "RepoFile",
    "set_client_factory",
]
