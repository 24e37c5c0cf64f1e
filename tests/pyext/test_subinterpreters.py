import subprocess
import sys

PROGRAM = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{before}
other = interpreters.create()
interpreters.run_string(other, '''
try:
    import reqtrail
except ImportError as error:
    print(error)
''')
interpreters.destroy(other)
import reqtrail
print(reqtrail.get_request_id())
"""


def test_a_subinterpreter_is_refused_and_the_main_one_goes_on() -> None:
    for before in ("", "import reqtrail"):
        program = PROGRAM.format(before=before)
        ended = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/", timeout=30
        )
        refusal, request_id = ended.stdout.splitlines()
        # From 3.12 on CPython refuses by itself.
        assert refusal.endswith(
            ("reqtrail does not support subinterpreters", "does not support loading in subinterpreters")
        )
        assert request_id == "None"
