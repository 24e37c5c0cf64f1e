"""Where the application finds its database and its broker, and where its log lines go."""

import os

DATABASE = os.environ.get("COMMANDCENTER_DATABASE", "commandcenter@127.0.0.1:5432/commandcenter")
LOG_FILE = os.environ.get("COMMANDCENTER_LOG_FILE")  # standard output where it is not set
BROKER_URL = os.environ.get("COMMANDCENTER_BROKER_URL", "redis://127.0.0.1:6379/0")

ASYNC_DATABASE_URL = f"postgresql+asyncpg://{DATABASE}"
SYNC_DATABASE_URL = f"postgresql+psycopg://{DATABASE}"
