"""Model repositories in buckets: each machine fetches one once, whole or not at all.

What the store lists of each file (its name, size, and checksum or time) names a revision of the repository, and so the
folder that holds it. Whoever comes second, at the same time or later, finds it there::

    <cache>/repositories/<revision>/<model>/<version>/laps.json …
    <cache>/repositories/<revision>.lock

That a file is what its manifest says is checked where models are read, as with any other repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from laps_server.errors import BadParameter, ModelError, NoModels

_LOG = logging.getLogger(__name__)
# What stores call the checksum of a file's content; of those without one its time has to do.
_CHECKSUMS = ("ETag", "etag", "md5Hash", "crc32c", "content_md5", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")


def fetched_repository(url: str, cache: Path | None) -> Path:
    """The folder with what the repository holds now; fetched, unless it is there.

    Args:
        url: what fsspec opens, as ``s3://bucket/models``.
        cache: a folder that is kept between starts.

    Raises:
        BadParameter: there is no such kind of store, its package is missing, or there is no cache.
        NoModels: the repository is empty.
        ModelError: the store cannot be read, or the cache not written.
    """
    if cache is None:
        raise BadParameter("a model repository that is fetched needs a folder to keep it in", hint="set LAPS_CACHE_DIR")
    store, root = _opened(url)
    shown = _without_secrets(url)
    try:
        files = {name: info for name, info in store.find(root, detail=True).items() if info.get("type") == "file"}
    except Exception as exc:  # each store has errors of its own
        raise _unreadable(shown, exc) from exc
    if not files:
        raise NoModels(f"the model repository {shown} holds no file", hint="it has one folder a model")
    folders = cache / "repositories"
    target = folders / _revision(url, files)
    try:
        folders.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")):
            if not target.is_dir():
                _fetch(store, root, files, target)
                _LOG.info("fetched %d files of %s", len(files), shown)
    except OSError as exc:
        raise _unreadable(shown, exc) from exc
    return target


def _opened(url: str) -> tuple[Any, str]:
    try:
        store, root = fsspec.core.url_to_fs(url)
    except ImportError as exc:
        raise BadParameter(
            f"what opens {_without_secrets(url)} is not installed: {exc}", hint="install it beside laps-server[scale]"
        ) from exc
    except ValueError as exc:
        raise BadParameter(
            f"{_without_secrets(url)} is no address of a store: {exc}",
            hint="as s3://bucket/models or gs://bucket/models",
        ) from exc
    store.invalidate_cache()  # a store of this process may have listed it before
    return store, root


def _revision(url: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    digest = hashlib.sha256(url.encode())
    for name in sorted(files):
        info = files[name]
        stamp = next((info[key] for key in (*_CHECKSUMS, *_TIMES) if info.get(key) is not None), "")
        digest.update(f"\0{name}\0{info.get('size')}\0{stamp}".encode())
    return digest.hexdigest()[:32]


def _fetch(store: Any, root: str, files: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    """All files into a draft, which then gets the target's name; what an earlier fetch left half done is removed."""
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, info in files.items():
            file = draft / _below(root, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                store.get_file(name, str(file))
            except Exception as exc:  # as above
                raise _unreadable(name, exc) from exc
            if info.get("size") not in (None, file.stat().st_size):
                raise ModelError(f"{name} was changed while it was fetched", hint="start again")
        for folder, _, names in os.walk(draft):
            for name in names:
                _sync(Path(folder, name))
        draft.replace(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _below(root: str, name: str) -> PurePosixPath:
    """A file's path in the repository; a name that leads out of it is the store's fault, and refused.

    Raises:
        ModelError: it does.
    """
    base, path = PurePosixPath("/", root.strip("/")), PurePosixPath("/", name.strip("/"))
    if ".." in path.parts or not path.is_relative_to(base) or path == base:
        raise ModelError(f"{name} does not lie in the model repository", hint="name a folder, with one folder a model")
    return path.relative_to(base)


def _sync(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone on this machine; the lock of a process that was killed is free."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unreadable(shown: str, exc: Exception) -> ModelError:
    said = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    return ModelError(
        f"the model repository {shown} cannot be fetched: {said}", hint="is the address right, and readable?"
    )


def _without_secrets(url: str) -> str:
    """For the log: some stores take a user and a password in the address."""
    parts = urlsplit(url)
    return url if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
