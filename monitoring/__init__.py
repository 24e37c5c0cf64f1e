"""Configuration of the servers that watch the application, and the code that makes the dashboards."""
