"""A pinned archive from the indexes that pip is configured with.

`pip download` would do more than is wanted: to learn what a source archive depends on, pip runs its setup.py. Here
the archive is found and read.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import PyPIClient

from laps_export import __version__
from laps_export.errors import FetchError
from laps_export.fetch.pinned_archive import PinnedArchive
from laps_export.fetch.pip_settings import PipSettings
from laps_export.progress import OnProgress, ignore

DEADLINE_S = 600.0
_CONNECT_S = 10.0
_INDEX_PAGE_BYTES = 32 << 20
_TRIES = 3  # of a download that breaks off


def fetch_archive(
    archive: PinnedArchive,
    settings: PipSettings,
    *,
    deadline_s: float = DEADLINE_S,
    on_progress: OnProgress = ignore,
) -> bytes:
    """The archive's bytes, from the first place that has them.

    Args:
        archive: what is wanted.
        settings: where to look, and how.
        deadline_s: for all of it.
        on_progress: told of the bytes that have come.

    Raises:
        FetchError: `not_found`, `unreachable`, `too_slow` or `hash_differs`; where several places failed, as the
            last of them.
    """
    deadline = time.monotonic() + deadline_s
    failure: FetchError | None = None
    with _client(settings, deadline) as client:
        for place in _places(settings):
            try:
                link = _find(archive, client, place)
                content = _download(archive, client, link, on_progress)
                archive.file.check(content)
            except FetchError as exc:
                # A place that had it and failed tells more than one that has nothing of that name.
                if failure is None or exc.code != "not_found":
                    failure = exc
                if exc.code == "too_slow":
                    break
            else:
                return content
    raise failure or _not_found(archive, "pip's configuration names no place to look at")


class _Client(PyPIClient):
    """unearth's, whose answers have an end: in bytes, and in time."""

    def __init__(self, *, deadline: float, **options: Any) -> None:
        super().__init__(**options)
        self._deadline = deadline

    def get(self, url: Any, *, headers: Mapping[str, str] | None = None, **options: Any) -> httpx2.Response:  # type: ignore[override]
        """An index's page."""
        with self.stream("GET", url, headers=headers, **options) as response:
            content = self.read(response, limit=_INDEX_PAGE_BYTES)
            kept = {"Content-Type": response.headers.get("Content-Type", "")}  # it is decompressed by now
            return httpx2.Response(response.status_code, headers=kept, content=content, request=response.request)

    def read(self, response: httpx2.Response, *, limit: int, on_progress: OnProgress = ignore, what: str = "") -> bytes:
        """The body, while there is time and it is no longer than it may be."""
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > limit:
                raise _TooLong(f"{response.url.host} sends more than {limit} bytes")
            if time.monotonic() > self._deadline:
                raise _TooSlow(f"only {len(content)} bytes had come")
            on_progress(what, len(content), limit)
        return bytes(content)


class _TooLong(Exception):
    pass


class _TooSlow(Exception):
    pass


def _client(settings: PipSettings, deadline: float) -> _Client:
    urls = [url for url in (settings.index_url, *settings.extra_index_urls) if url]
    client = _Client(
        deadline=deadline,
        trusted_hosts=settings.trusted_hosts,
        verify=_authorities(settings.cert),
        cert=settings.client_cert,
        proxy=settings.proxy,
        timeout=httpx2.Timeout(settings.timeout_s, connect=min(settings.timeout_s, _CONNECT_S)),
        follow_redirects=True,
        headers={"User-Agent": f"laps-export/{__version__}"},
    )
    # Passwords come from the address, .netrc or the keyring; nobody is asked for one.
    client.auth = MultiDomainBasicAuth(prompting=False, index_urls=urls)
    return client


def _authorities(cert: str | None) -> ssl.SSLContext | bool:
    if cert is None:
        return True
    try:
        folder = Path(cert).is_dir()
        return ssl.create_default_context(cafile=None if folder else cert, capath=cert if folder else None)
    except OSError as exc:
        raise FetchError(f"the certificates in {cert}, which pip is told to use: {exc}", code="unreachable") from exc


@dataclass(frozen=True)
class _Place:
    """One index, or one folder or page with links; with neither, the index that is everybody's default."""

    index: str | None = None
    links: str | None = None

    def finder(self, client: _Client) -> PackageFinder:
        return PackageFinder(
            client,  # type: ignore[arg-type]  # unearth's own client does not fit its protocol either
            index_urls=[self.index] if self.index else [],
            find_links=[self.links] if self.links else [],
            no_binary=[":all:"],
        )


def _places(settings: PipSettings) -> Iterator[_Place]:
    if not settings.no_index:
        yield _Place(index=settings.index_url)
        yield from (_Place(index=url) for url in settings.extra_index_urls)
    yield from (_Place(links=place) for place in settings.find_links if "://" in place or Path(place).exists())


def _find(archive: PinnedArchive, client: _Client, place: _Place) -> Link:
    finder = place.finder(client)
    (source,) = finder.sources
    where = Link(source["url"]).redacted
    with _translated(archive, where), _remarks() as remarks:
        found = finder.find_matches(f"{archive.package}=={archive.version}")
        links = [package.link for package in found]
    if not links:
        raise _not_found(archive, f"{where} does not have it" + "".join(f" ({remark})" for remark in remarks[:1]))
    for link in links:
        told = (link.hash_option or {}).get("sha256", [archive.file.sha256])[0]
        if told == archive.file.sha256:
            return link
    raise FetchError(
        f"{where} has another {archive.package} {archive.version}: sha256 {told}",
        code="hash_differs",
        hint=f"sha256 {archive.file.sha256} is wanted, and nothing else is read",
    )


def _download(archive: PinnedArchive, client: _Client, link: Link, on_progress: OnProgress) -> bytes:
    what = f"fetching {archive.package} {archive.version}"
    for left in reversed(range(_TRIES)):
        with _translated(archive, link.redacted):
            try:
                with client.get_stream(link.normalized) as response:
                    response.raise_for_status()
                    return client.read(response, limit=archive.file.size_bytes, on_progress=on_progress, what=what)
            except (httpx2.ReadError, httpx2.RemoteProtocolError):
                if not left:
                    raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def _translated(archive: PinnedArchive, where: str) -> Iterator[None]:
    """What goes wrong on the way as an error of ours, in one line."""
    named = f"{archive.package} {archive.version}"
    try:
        yield
    except (_TooSlow, httpx2.TimeoutException) as exc:
        why = str(exc) or "no answer in time"
        raise FetchError(f"{named} from {where} takes too long: {why}", code="too_slow") from exc
    except _TooLong as exc:
        raise FetchError(f"{named} from {where} is not the file that is pinned: {exc}", code="hash_differs") from exc
    except httpx2.HTTPStatusError as exc:
        raise _not_found(archive, f"{where} answers {exc.response.status_code}") from exc
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as exc:
        why = str(exc) or type(exc).__name__
        raise FetchError(f"{named} from {where}: {why}", code="unreachable") from exc


def _not_found(archive: PinnedArchive, why: str) -> FetchError:
    return FetchError(
        f"{archive.package} {archive.version} is not there: {why}",
        code="not_found",
        hint="the index is the one that pip is configured with",
    )


@contextmanager
def _remarks() -> Iterator[list[str]]:
    """What unearth would log meanwhile, which says why a place had nothing."""
    remarks: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: remarks.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("unearth")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield remarks
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
