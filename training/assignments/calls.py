"""What the cases.py of every assignment share: slopes for `own` points, and the call of a bug hunt.

A question's call takes the module and arrays by their names, and returns arrays by theirs. In a slope, an output y has
the upstream gradient dy among the inputs, and the gradient of an input x is called dx among the outputs.
"""

STEP = 1e-5


def with_directions(arrays, rng, names):
    """The arrays, and for each of these names a random direction to_NAME in which it is moved."""
    return arrays | {f"to_{name}": rng.standard_normal(arrays[name].shape) for name in names}


def slopes(call, module, **given):
    """The slope of sum dy y over all outputs y: `analytic` by the gradients in the outputs, `numeric` by moving inputs.

    given: the call's arrays, and what `with_directions` adds to them.
    """
    directions = {name.removeprefix("to_"): a for name, a in given.items() if name.startswith("to_")}
    arrays = {name: a for name, a in given.items() if not name.startswith("to_")}

    def loss(step):
        outputs = call(module, **arrays | {name: arrays[name] + step * a for name, a in directions.items()})
        return sum((arrays[f"d{name}"] * y).sum() for name, y in outputs.items() if f"d{name}" in arrays)

    outputs = call(module, **arrays)
    analytic = sum((outputs[f"d{name}"] * a).sum() for name, a in directions.items())
    return dict(analytic=analytic, numeric=(loss(STEP) - loss(-STEP)) / (2 * STEP))


def hunt(module, **run):
    """1 if the student's check refuses a recorded run, else 0."""
    inputs = {name[3:]: a for name, a in run.items() if name.startswith("in_")}
    outputs = {name[4:]: a for name, a in run.items() if name.startswith("out_")}
    try:
        module.check(inputs, outputs)
    except AssertionError:
        return dict(verdict=1)
    return dict(verdict=0)
