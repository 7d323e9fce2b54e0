"""Repositories of the hub: commits that each hold a whole tree, and blobs by digest."""

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lifemask.sandbox.store import Store

_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
_GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.tar filter=lfs diff=lfs merge=lfs -text\n"


class StaleParentError(Exception):
    """The commit names a parent that is no longer the head."""


class Entry(BaseModel):
    """One file of a tree. `oid` is git's id of the blob, for a large file that of its pointer."""

    sha256: str
    size: int
    oid: str
    is_large: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.oid

    @property
    def lfs(self) -> dict[str, Any] | None:
        if not self.is_large:
            return None
        pointer = len(_POINTER.format(sha256=self.sha256, size=self.size))
        return {"oid": self.sha256, "sha256": self.sha256, "size": self.size, "pointerSize": pointer}


class Commit(BaseModel):
    oid: str
    parent: str | None
    title: str
    message: str
    at: float
    tree: dict[str, Entry]


def timestamp(seconds: float) -> str:
    """As the hub writes a moment: to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Repo(BaseModel):
    """One repository, oldest commit first. `large` are the digests uploaded to it. A deleted one stays on record."""

    id: str
    visibility: str
    created_at: float
    commits: list[Commit]
    large: list[str] = []
    deleted_at: float | None = None

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    @property
    def is_private(self) -> bool:
        return self.visibility != "public"

    def at(self, revision: str) -> Commit | None:
        """The commit of `main` or of a full commit id."""
        if revision in {"main", "refs/heads/main"}:
            return self.head
        return next((commit for commit in self.commits if commit.oid == revision), None)


def git_oid(content: bytes) -> str:
    """Git's id of a blob; git uses SHA-1 as a name, not as a seal."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def large_entry(sha256: str, size: int) -> Entry:
    return Entry(
        sha256=sha256, size=size, oid=git_oid(_POINTER.format(sha256=sha256, size=size).encode()), is_large=True
    )


class Repos:
    """All repositories, in memory and on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._blobs = store.folder("blobs")
        self._repos = [Repo.model_validate(raw) for raw in store.load_all("repos")]
        self._numbers = {id(repo): number for number, repo in enumerate(self._repos)}

    def all(self) -> list[Repo]:
        """Deleted ones included."""
        return list(self._repos)

    def find(self, repo_id: str) -> Repo | None:
        """The living repository of that name; names do not differ by case alone."""
        for repo in self._repos:
            if repo.id.lower() == repo_id.lower() and repo.deleted_at is None:
                return repo
        return None

    def create(self, repo_id: str, visibility: str) -> Repo:
        repo = Repo(id=repo_id, visibility=visibility, created_at=time.time(), commits=[])
        self._numbers[id(repo)] = len(self._repos)
        self._repos.append(repo)
        self._add(repo, "initial commit", "", {".gitattributes": self.keep(_GIT_ATTRIBUTES)})
        return repo

    def commit(self, repo: Repo, title: str, message: str, tree: dict[str, Entry], parent: str | None) -> Commit:
        """A new head with `tree`, or the present head when that has it already. Raises StaleParentError."""
        if parent is not None and parent != repo.head.oid:
            raise StaleParentError
        if tree == repo.head.tree:
            return repo.head
        return self._add(repo, title, message, tree)

    def change(self, repo: Repo, visibility: str) -> None:
        repo.visibility = visibility
        self._save(repo)

    def delete(self, repo: Repo) -> None:
        repo.deleted_at = time.time()
        self._save(repo)

    def keep(self, content: bytes) -> Entry:
        """Stores a small file's bytes."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.blob(sha256)
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(path)
        return Entry(sha256=sha256, size=len(content), oid=git_oid(content), is_large=False)

    def blob(self, sha256: str) -> Path:
        """Where the bytes of that digest are, or would be."""
        return self._blobs / sha256

    def add_large(self, repo: Repo, sha256: str) -> None:
        if sha256 not in repo.large:
            repo.large.append(sha256)
            self._save(repo)

    def _add(self, repo: Repo, title: str, message: str, tree: dict[str, Entry]) -> Commit:
        parent = repo.commits[-1].oid if repo.commits else None
        now = time.time()
        listing = "".join(f"{path}\0{entry.oid}\n" for path, entry in sorted(tree.items()))
        named = f"{repo.id} {parent} {now} {title}\n{listing}".encode()
        oid = hashlib.sha1(named, usedforsecurity=False).hexdigest()
        commit = Commit(oid=oid, parent=parent, title=title, message=message, at=now, tree=tree)
        repo.commits.append(commit)
        self._save(repo)
        return commit

    def _save(self, repo: Repo) -> None:
        self._store.save(f"repos/{self._numbers[id(repo)]:08d}.json", repo.model_dump(mode="json"))
