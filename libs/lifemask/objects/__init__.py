"""The object store: port, keys, adapters for a directory and for S3, and expiring token URLs."""

from lifemask.objects.opening import open_objects

__all__ = ["open_objects"]
