"""What is wrong with a student's arrays, in words: which mistake it is likely to be, the index, both numbers, shapes.

Outputs and answers are dicts {part/case/name: array}; a case that raised has the text part/case/error instead.
"""

import numpy as np

RTOL = {4: 1e-3, 8: 1e-6}  # of the largest entry, by bytes of a number: float32 is asked for once, for its dtype


def of_case(arrays, case):
    """{name: array} of one case "part/kind"."""
    return {key.removeprefix(case + "/"): a for key, a in arrays.items() if key.startswith(case + "/")}


def same(a, b, rtol=RTOL[8]):
    """Whether two arrays have the same shape and, to rtol of b's largest entry, the same numbers."""
    return a.shape == b.shape and bool(np.all(distance(a, b) <= rtol))


def distance(a, b):
    """|a - b| as a share of b's largest finite entry; what is not finite is the same (0) or infinitely far."""
    a, b = a.astype(float), b.astype(float)
    scale = np.abs(b).max(initial=1e-12, where=np.isfinite(b))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.nan_to_num(np.abs(a - b) / scale, nan=np.inf))


def fault(name, got, right):
    """What is wrong with one array of a case, "" if nothing is."""
    wanted = right[name]
    if got.shape != wanted.shape:
        hint = ": it is transposed" if same(got.T, wanted) else ""
        return f"{name} has shape {got.shape}, expected {wanted.shape}{hint}"
    off = distance(got, wanted)
    rtol = RTOL.get(wanted.dtype.itemsize, RTOL[8])
    if not (off > rtol).any():
        dtypes = f"{name} is {got.dtype}, expected {wanted.dtype}: results have the dtype of the inputs"
        return "" if got.dtype == wanted.dtype else dtypes
    worst = np.unravel_index(np.argmax(off), off.shape)
    index = str([int(i) for i in worst]) if got.ndim else ""
    numbers = f"{name}{index} is {got[worst]:.8g}, expected {wanted[worst]:.8g} (shape {got.shape})"
    return f"{numbers}{kind_of(name, got, right, off > rtol)}"


def kind_of(name, got, right, wrong):
    """What the wrong numbers have in common with the right ones, "" if nothing that is known here."""
    wanted = right[name]
    others = [other for other in right if other != name and got.size > 3 and same(got, right[other])]
    if not np.isfinite(got).all():
        return f"\n  {name} holds numbers that are not finite"
    if not got.any():
        return f"\n  {name} is zero everywhere"
    if others:
        return f"\n  these are the numbers of {others[0]}: are the results in another order?"
    if same(got, -1.0 * wanted):  # not -wanted, which there is not of truth values
        return f"\n  {name} has the opposite sign"
    if same(got.T, wanted):
        return f"\n  {name} is transposed"
    ratio = float((got * wanted).sum()) / max(float((wanted * wanted).sum()), 1e-300)
    if same(got, ratio * wanted):
        return f"\n  {name} is {ratio:.6g} times what it should be, everywhere"
    for axis in range(got.ndim):
        planes = np.flatnonzero(wrong.any(axis=tuple(a for a in range(got.ndim) if a != axis)))
        if len(planes) == 1 and got.shape[axis] > 1:
            return f"\n  wrong only at index {planes[0]} of axis {axis} (of {got.shape[axis]}); the rest is right"
    return ""


def differ(bug, right):
    """Whether a bug's outputs differ from the right ones in some case."""
    return any(key not in bug or not same(bug[key], a) for key, a in right.items())


def hints(got, bugs):
    """Hints of the planted bugs whose outputs are the student's, in every case; bugs: {hint: arrays}."""
    return [
        hint for hint, bug in bugs.items()
        if all(key in got and got[key].dtype.kind != "U" and same(got[key], a, 1e-5 if a.itemsize < 8 else RTOL[8])
               for key, a in bug.items())
    ]  # fmt: skip


def report(case, got, right, title=""):
    """(whether a case is right, what to say about it if it is not); title: of its question, for a stub of another."""
    if "error" in got:
        error = str(got["error"])
        if error.startswith("NotImplementedError"):
            label = error.splitlines()[0].removeprefix("NotImplementedError: ")
            other = title and label[:1].isdigit() and label != title
            return False, f"{label} is not written yet" if other else "not written yet"
        if "read-only" in error:
            error += "\n  the function writes into one of its arguments; copy it first"
        return False, error
    if case.startswith("own/"):
        a, b = float(got["analytic"]), float(got["numeric"])
        fine = np.isfinite(a) and b != 0 and abs(a - b) <= 1e-6 * max(abs(a), abs(b))
        text = f"the slope is {a:.8g} by the backward pass, {b:.8g} by the forward pass; they should be equal"
        return bool(fine), "" if fine else text
    if got.keys() != right.keys():
        lacking, more = ([name for name in a if name not in b][:8] for a, b in ((right, got), (got, right)))
        return False, f"missing: {', '.join(lacking) or 'nothing'}; not expected: {', '.join(more) or 'nothing'}"
    faults = [text for name in right if (text := fault(name, got[name], right))]
    return not faults, faults[0] if faults else ""
