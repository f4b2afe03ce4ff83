"""The key that a server asks for: given, from ``LAPS_API_KEY``, or from the file that ``laps login`` writes."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

VARIABLE = "LAPS_API_KEY"
_HEADERS = ("authorization", "x-api-key")


def keys_file() -> Path:
    """Where keys are kept, by the address of their server."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "laps" / "keys.json"


def headers_with_key(url: httpx.URL, given: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """``headers`` with the key for the server at ``url``, where there is one and they have none of their own.

    Raises:
        ValueError: the key can be none, or the file of keys can be read by others, or is something else.
    """
    if any(name.lower() in _HEADERS for name in headers):
        return dict(headers)
    key = given or os.environ.get(VARIABLE) or read_keys(keys_file()).get(origin_of(url))
    if key and not (key.isascii() and key.isprintable()):
        raise ValueError("the API key has characters that no key has")
    return {**headers, "Authorization": f"Bearer {key}"} if key else dict(headers)


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port: what a key is kept for. Another server must not get it."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def read_keys(path: Path) -> dict[str, str]:
    """The keys in a file by the addresses of their servers; none where there is no file.

    Raises:
        ValueError: others can read it, or it is something else.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ValueError(f"{path}: {exc.strerror}") from exc
    if mode & 0o077:
        raise ValueError(f"{path} can be read by others (mode {mode:o}): chmod 600 {path}")
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise ValueError(f"{path} is not a file of keys: {exc}") from exc
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found.values()):
        raise ValueError(f"{path} is not a file of keys")
    return found


def keep_key(path: Path, url: httpx.URL, key: str | None) -> None:
    """Keep the key for a server, or forget it where None is given; the file is its owner's alone.

    Raises:
        ValueError: the file that is there is something else.
        OSError: it cannot be written.
    """
    kept = read_keys(path)
    kept.pop(origin_of(url), None)
    if key is not None:
        kept[origin_of(url)] = key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 600 from the start
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
