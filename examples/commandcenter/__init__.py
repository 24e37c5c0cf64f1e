"""A small FastAPI + Celery + SQLAlchemy application, instrumented with reqtrail."""
