"""PromQL of what runs out, which several dashboards show as the alerts on it have it."""

from __future__ import annotations


def connections_allowed(selector: str = "") -> str:
    """Return how many connections each server lets in that are not kept for superusers and for reserved roles."""
    reserved = _with('__name__=~"pg_settings_(superuser_)?reserved_connections"', selector)
    return f"""(
  sum by (job, instance) (pg_settings_max_connections{_with(selector)})
  - sum by (job, instance) ({reserved})
)"""


def connections_ratio(selector: str = "") -> str:
    """Return the part of these connections that is in use."""
    used = f"sum by (job, instance) (pg_stat_database_numbackends{_with(selector)})"
    return f"{used}\n/ on (job, instance) {connections_allowed(selector)}"


def pool_ratio(by: str, selector: str = "") -> str:
    """Return the part of the connections which SQLAlchemy's pools may open that is handed out."""
    handed_out = _with(selector, 'state="checked_out"')
    used = f"sum by ({by}) (reqtrail_db_pool_connections{handed_out})"
    return f"{used}\n/ sum by ({by}) (reqtrail_db_pool_limit{_with(selector)})"


def _with(*selectors: str) -> str:
    given = ", ".join(selector for selector in selectors if selector)
    return f"{{{given}}}" if given else ""
