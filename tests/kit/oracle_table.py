"""Which checks each module must pass; planted bugs and CUDA kernels have to pass or fail the same ones.

A check takes the module to test, so that a planted wrong version can be handed in. The files of checks end in a table
CHECKS of their own: {module: its checks}.
"""

import flow_checks
import net_checks
import oracle_checks_conv
import oracle_checks_maps
import oracle_checks_time
import oracle_checks_training
import oracle_checks_units

CHECKS = {}
for _file in (
    oracle_checks_units, oracle_checks_conv, oracle_checks_maps, oracle_checks_time, net_checks, flow_checks,
    oracle_checks_training,
):  # fmt: skip
    for _module, _checks in _file.CHECKS.items():
        assert _module not in CHECKS, f"two files have checks of {_module}"
        CHECKS[_module] = _checks
