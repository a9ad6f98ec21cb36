# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A1 · Back-propagation
#
# Everything in *Beyond Short Snippets* is trained by one rule, the chain rule. You write the layers that every network
# there ends in, forward and backward: a fully connected layer, the ReLU, dropout, and the softmax loss. At the end a
# network learns on your code.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function has every shape; the docstring at the top of its file has the equations.
#
# **The rule.** `dx` is $\partial L / \partial x$, of the shape of $x$. A backward pass gets `dy` and what its forward
# pass kept, the `cache`, and returns the gradient of every input. Nothing writes into an argument, and results have the
# dtype of the inputs. What you keep in a cache is up to you.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check linear
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** N clips or rows · T frames per clip · D features · M units · K classes. Rows are on the first axes,
# features on the last one.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 1.1 `linear_forward`, `linear_backward` (15 points), `layers/linear.py`
#
# $y = xW + b$, for x with any number of axes in front. Write one entry of $y$ as a sum, and ask of each entry of $x$,
# $W$ and $b$: which entries of $y$ read it? The gradients add up over those. Then find the matrix product that does it.

# %%
check("linear")

# %% [markdown]
# ## 1.2 `relu_forward`, `relu_backward` (10 points), `layers/relu.py`
#
# $y = \max(x, 0)$. At $x = 0$, where the slope jumps, take 0.

# %%
check("relu")

# %% [markdown]
# ## 1.3 `softmax`, `softmax_loss` (25 points), `layers/loss.py`
#
# `check_labels` and `true_classes` are given: after them the target $t$ is known by its entries that are not zero, for
# a single label or for several. Derive $\partial L / \partial s$ on paper first; most terms cancel. Then mind what
# numbers can do: scores of a thousand, a class of score $-\infty$, a weight of zero. The docstring says what must come
# out.

# %%
check("softmax_loss")

# %% [markdown]
# ## 1.4 `dropout_forward`, `dropout_backward` (10 points), `layers/dropout.py`
#
# The mask is drawn for you: `new_key` and `uniform_numbers` are given. Without a generator it is inference, and nothing
# happens. `p` is the probability of being *dropped*.

# %%
check("dropout")

# %% [markdown]
# ## 1.5 The twist (15 points), `layers/twist.py`
#
# A loss that the library does not have. Its equations are in the file.

# %%
check("twist")

# %% [markdown]
# ## 1.6 The bug hunt (25 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: strokes
#
# Noise with a stroke six pixels long, bright or dark, anywhere, in one of four directions. Name the direction. Three
# linear layers, with your ReLUs, your dropout and your loss, see 3000 images a few times; then 1000 that they have
# never seen. (If you have changed a file since you started the kernel, restart it first.)

# %%
from strokes import render  # noqa: E402

from snippets.layers.core.base import Sequential  # noqa: E402
from snippets.layers.dropout import Dropout  # noqa: E402
from snippets.layers.linear import Flatten, Linear  # noqa: E402
from snippets.layers.loss import softmax_loss  # noqa: E402
from snippets.layers.relu import ReLU  # noqa: E402

SIDE, UNITS, RATE, STEPS, BATCH = 10, 128, 0.1, 500, 64
rng = np.random.default_rng(0)
train_x, train_labels = render(3000, rng, SIDE, strokes=1)
test_x, test_labels = render(1000, rng, SIDE, strokes=1)
net = Sequential(
    flatten=Flatten(),  # (N, 10, 10, 1) -> (N, 100)
    fc1=Linear(SIDE * SIDE, UNITS, rng, relu=True),
    relu1=ReLU(),
    drop=Dropout(0.2),
    fc2=Linear(UNITS, UNITS, rng, relu=True),
    relu2=ReLU(),
    scores=Linear(UNITS, 4, rng),
)


def accuracy():
    """Share of the test images answered right."""
    return float((net.predict(test_x).argmax(axis=1) == test_labels).mean())


try:
    print(f"before training {accuracy():.1%}")
    for step in range(STEPS):
        batch = rng.integers(len(train_x), size=BATCH)
        scores, cache = net.forward(train_x[batch], rng)
        loss, dscores = softmax_loss(scores, train_labels[batch], weight=1 / BATCH)  # the mean over the batch
        _, grads = net.backward(dscores, cache)
        for name, array in net.params.items():
            array -= RATE * grads[name]
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss:.3f}")
    print(f"after training  {accuracy():.1%}")
except NotImplementedError as missing:
    print(f"{missing} is not written yet")

# %% [markdown]
# **What to see:** a guess is right in 25 % of the cases, your network in nearly all. There is no more to learning than
# this loop: forward, loss, backward, a step downhill. `snippets demo --quick` trains the paper's networks in the same
# way on rendered video, in about two minutes; its last line says whose files have computed it.
