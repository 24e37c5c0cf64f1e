"""Follows one request id from the HTTP edge through Celery into PostgreSQL."""

from reqtrail._native import __version__

__all__ = ["__version__"]
