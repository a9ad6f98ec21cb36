"""`snippets bench`: speed and memory of our layers and networks, against peers and against the arithmetic itself.

    rows        what is measured: start here; a new row is one entry of ROWS
    jobs        what a row runs, and its multiply-adds and bytes; a new kind of job is one function here
    peers       the libraries to compare with; `torch_jobs` has PyTorch's counterpart of each job, `torch_twins` its
                modules with our weights
    run         takes the times of both sides in turn, and prints and writes the rows
    seconds     what a frame, a step, a test cost of any network, for prices (`training.experiments.price`)
    machine     what a CPU is and can do; `gpu` the same of a GPU, and its clock and memory

Costs of distributed training are measured in `training.distributed.costs`, and what a network needs is counted, without
running it, in `nets.inspect`.
"""
