"""What every answer tells a browser, whoever makes it: the app, its door, or the protocol below it.

An answer is only what it says it is, loads nothing, is shown in no other site's frame and kept in no cache: it belongs
to the owner of one key. The page and the reference, which load their own files, have a policy of their own.
"""

from __future__ import annotations

from types import MappingProxyType

SECURITY_HEADERS = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
