"""What a commit request changes: its ndjson lines become a new tree."""

import base64
import binascii
import json
from pathlib import PurePosixPath
from typing import Any

from lifemask.sandbox.card import CardError, read_card
from lifemask.sandbox.hub_errors import HubError
from lifemask.sandbox.repos import Entry, Repo, Repos, large_entry

_WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".ckpt", ".onnx", ".npz")
_OTHER_BINARIES = (".tar", ".zip", ".gz", ".png", ".jpg", ".jpeg", ".webp", ".heic", ".mp4", ".parquet")
_REGULAR_BYTES = 10 * 2**20  # the hub refuses larger files outside of LFS


def upload_mode(path: str, size: int) -> str:
    """How a file has to be uploaded: "lfs" or "regular"."""
    is_binary = PurePosixPath(path).suffix.lower() in _WEIGHT_FILES + _OTHER_BINARIES
    return "lfs" if is_binary or size > _REGULAR_BYTES else "regular"


class CommitRequest:
    """One parsed commit body. Raises HubError when a line cannot be carried out."""

    def __init__(self, body: bytes, repo: Repo, repos: Repos) -> None:
        self.title = ""
        self.message = ""
        self.parent: str | None = None
        self.tree = dict(repo.head.tree)
        self._repo = repo
        self._repos = repos
        for line in body.splitlines():
            if line.strip():
                self._apply(line)

    def _apply(self, line: bytes) -> None:
        try:
            item = json.loads(line)
            key, value = item["key"], item["value"]
            self._dispatch(key, value)
        except (ValueError, KeyError, TypeError) as error:
            raise HubError(400, "", "The commit cannot be parsed") from error

    def _dispatch(self, key: str, value: dict[str, Any]) -> None:
        if key == "header":
            self.title, self.message = str(value["summary"]), str(value.get("description", ""))
            self.parent = value.get("parentCommit")
        elif key == "file":
            self.tree[_checked(value["path"])] = self._small(value)
        elif key == "lfsFile":
            self.tree[_checked(value["path"])] = self._large(value)
        elif key == "deletedFile":
            if self.tree.pop(value["path"], None) is None:
                raise HubError(404, "EntryNotFound", "A file with this name doesn't exist")
        elif key == "deletedFolder":
            folder = value["path"].rstrip("/") + "/"
            self.tree = {path: entry for path, entry in self.tree.items() if not path.startswith(folder)}
        else:
            raise HubError(400, "", f"The sandbox does not know the commit operation {key}")

    def _small(self, value: dict[str, Any]) -> Entry:
        try:
            content = base64.b64decode(value["content"], validate=True)
        except binascii.Error as error:
            raise HubError(400, "", "A file's content is not base64") from error
        if len(content) > _REGULAR_BYTES:
            raise HubError(400, "", "Your push was rejected because it contains files larger than 10 MiB")
        if value["path"] == "README.md":
            try:
                read_card(content.decode())
            except (CardError, UnicodeDecodeError) as error:
                raise HubError(400, "", f"Invalid metadata in README.md: {error}") from error
        return self._repos.keep(content)

    def _large(self, value: dict[str, Any]) -> Entry:
        sha256 = str(value["oid"])
        if sha256 not in self._repo.large:
            raise HubError(
                400, "", "Your push was rejected because an LFS pointer pointed to a file that does not exist"
            )
        return large_entry(sha256, self._repos.blob(sha256).stat().st_size)


def _checked(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise HubError(400, "", "Invalid path in commit")
    return path
