"""Training over processes and machines, as in section 3.3 of the paper.

    synchronous    ranks (MPI: every rank has a share of each batch, gradients are added up)
    Downpour SGD   downpour (what a replica does, for any engine) · shard (what a parameter shard does)
                   ray_engine, ray_actors, ray_session (on Ray) · simulate (on a clock that only counts)
                   machines (the cores and links that simulated processes share)
    jobs           ray_tasks (over videos, on all hosts) · hosts (whether they have installed the same)
    beside them    simulate_synchronous · simulation_report (both compared) · costs (what work costs on this machine)
                   price (from that, how long jobs will take on many hosts)
                   column_parallel (one layer over several ranks, a worked example)

Read downpour first, then shard. Not here: the training step and loop, which all of these use (`snippets.training`).
"""
