"""Asking a server over HTTP, with errors that say what to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from reqtrail.cli.sources import SourceError

_TIMEOUT_SECONDS = 15.0


def shown(url: str) -> str:
    """A URL for people: without user and password."""
    return str(httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")


def get(
    url: str, *, headers: Mapping[str, str] | None = None, parameters: Mapping[str, str] | None = None
) -> httpx.Response:
    """Return the answer, whatever its status. Raises SourceError when there is none."""
    try:
        return httpx.get(
            url,
            headers=dict(headers or {}),
            params=dict(parameters or {}),
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=True,
        )
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the last: a host or header that cannot be sent
        raise SourceError(f"{shown(url)} does not answer: {str(error) or type(error).__name__}") from error


def get_json(
    base: str, path: str, *, headers: Mapping[str, str] | None = None, parameters: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON body of a 200. Raises SourceError for anything else."""
    response = get(base.rstrip("/") + path, headers=headers, parameters=parameters)
    if response.status_code != httpx.codes.OK:
        raise SourceError(f"{shown(base)}{path} answered {response.status_code}: {response.text[:200].strip()}")
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{shown(base)}{path} did not answer with JSON: is the address right?") from error
