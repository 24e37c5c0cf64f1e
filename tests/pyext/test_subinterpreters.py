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
        assert ended.stdout.splitlines() == ["reqtrail does not support subinterpreters", "None"]
