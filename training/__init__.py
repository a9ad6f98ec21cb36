"""Training, evaluation, and what is kept of both.

    read first     step (one step: a batch in, parameters changed) · loop (the training loop) · settings
    the sums       objective (loss and its weights) · sgd (the update)
    where          parameters (one vector, on a CPU or a GPU) · gpu_loop (an epoch on a GPU) · alone (one process)
    results        evaluate (Hit@1, Hit@5) · predictions (in files) · fusion (of several networks)
    kept           checkpoint · model (a checkpoint as a network that can be used) · log · interrupts (Ctrl-C)

Subpackages: distributed (many processes), experiments (the paper's tables and claims), bench (speed), render (pictures
of predictions), assignments (for courses), cli (the commands). Not here: layers and networks (`snippets.layers`,
`snippets.nets`), and what is read from files (`snippets.data`).
"""
