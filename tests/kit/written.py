"""What is written down a second time, in a file beside a test: whoever changes it in the code has to mean it."""


def assert_written(found, path):
    """Lines are those of a text file; an AssertionError names the first that are new and the first that are gone."""
    found, known = list(found), path.read_text(encoding="utf-8").splitlines()
    new, gone = [line for line in found if line not in known], [line for line in known if line not in found]
    assert found == known, f"new: {new[:3]}, gone: {gone[:3]}; if this is meant, see the head of the test's file"


def numbers(*values):
    """Each to a hundredth; no -0."""
    return " ".join(f"{round(float(value), 2) + 0.0:g}" for value in values)
