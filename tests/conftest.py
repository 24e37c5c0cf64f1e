import os

from hypothesis import settings

# In CI the same examples every time: a change is judged by what it changed. Elsewhere new ones, to find new faults.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
