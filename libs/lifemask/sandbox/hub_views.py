"""How the hub shows repositories, commits, files and folders."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from lifemask.sandbox.repos import Commit, Entry, Repo, timestamp


def model_on_the_wire(repo: Repo, commit: Commit, card: dict[str, Any], *, blobs: bool = False) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = []
    for path, entry in sorted(commit.tree.items()):
        details = {"size": entry.size, "blobId": entry.oid} | ({"lfs": entry.lfs} if entry.lfs else {})
        siblings.append({"rfilename": path} | (details if blobs else {}))
    return {
        "_id": hashlib.sha256(f"{repo.id} {repo.created_at}".encode()).hexdigest()[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.oid,
        "createdAt": timestamp(repo.created_at),
        "lastModified": timestamp(repo.head.at),
        "private": repo.is_private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [str(tag) for tag in card.get("tags", [])],
        "pipeline_tag": card.get("pipeline_tag"),
        "cardData": card,
        "siblings": siblings,
    }


def commit_on_the_wire(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": "lifemask"}],
        "date": timestamp(commit.at),
    }


def file_on_the_wire(path: str, entry: Entry, *, altered: bool = False) -> dict[str, Any]:
    """`altered`: with another digest than the file has."""
    lfs = entry.lfs
    if lfs and altered:
        lfs |= {"oid": lfs["oid"][::-1], "sha256": lfs["sha256"][::-1]}
    shown = {"type": "file", "oid": entry.oid[::-1] if altered else entry.oid, "size": entry.size, "path": path}
    return shown | ({"lfs": lfs} if lfs else {})


def folders_of(entries: Mapping[str, Entry], below: str) -> list[dict[str, Any]]:
    """The folders that a tree's paths imply, those under `below` only."""
    folders = {str(parent) for path in entries for parent in PurePosixPath(path).parents} - {"."}
    return [
        {"type": "directory", "oid": _tree_oid(folder, entries), "size": 0, "path": folder}
        for folder in sorted(folders)
        if folder.startswith(below)
    ]


def _tree_oid(folder: str, entries: Mapping[str, Entry]) -> str:
    inside = "".join(f"{path}\0{entry.oid}\n" for path, entry in sorted(entries.items()) if path.startswith(folder))
    return hashlib.sha1(inside.encode(), usedforsecurity=False).hexdigest()
