"""Which checks each module must pass: its oracles, planted bugs and kernels are tried by the same ones."""

import flow_checks as flow
import net_checks
import oracle_checks as convolution
import oracle_checks_maps as maps
import oracle_checks_time as time
import oracle_checks_units as units

CHECKS = {
    "snippets.layers.core.base": [units.expects],
    "snippets.layers.core.branches": [units.branches_that_pass],
    "snippets.layers.core.window": [convolution.window, convolution.window_blocks],
    "snippets.layers.fast.fft": [convolution.fast_algorithm, convolution.fft_is_faster],
    "snippets.layers.fast.winograd": [
        convolution.fast_algorithm,
        convolution.winograd_is_faster,
        convolution.winograd_digits,
    ],
    "snippets.layers.conv": [
        convolution.conv,
        convolution.conv_by_fast_algorithms,
        convolution.conv_in_blocks,
        convolution.conv_of_one_channel,
        convolution.conv_at_zero,
    ],
    "snippets.layers.pool": [
        maps.max_pool,
        maps.max_pool_in_blocks,
        maps.max_pool_offsets,
        maps.average_pool,
        maps.global_average,
    ],
    "snippets.layers.lrn": [maps.lrn, maps.lrn_defaults],
    "snippets.layers.lcn": [maps.lcn],
    "snippets.layers.linear": [units.linear, units.as_map],
    "snippets.layers.relu": [units.relu, units.bias_and_relu],
    "snippets.layers.dropout": [units.dropout],
    "snippets.layers.inception": [maps.inception],
    "snippets.layers.temporal": [
        time.temporal_max,
        time.window_counts,
        time.temporal_average,
        time.fixed_frames,
    ],
    "snippets.layers.time_conv": [time.time_conv],
    "snippets.layers.rnn": [time.rnn],
    "snippets.layers.lstm": [time.lstm_whole, time.lstm_one_step, time.saturated_gates, time.forget_bias],
    "snippets.layers.conv_lstm": [time.conv_lstm, time.conv_lstm_of_one_pixel],
    "snippets.layers.core.check": [units.checker],
    "snippets.nets.alexnet": [net_checks.alexnet],
    "snippets.nets.googlenet": [net_checks.googlenet, net_checks.googlenet_variants],
    "snippets.nets.pooling": [net_checks.pooling, net_checks.time_convolution],
    "snippets.nets.auxiliary": [net_checks.auxiliary],
    "snippets.nets.slow_fusion": [net_checks.slow_fusion],
    "snippets.nets.recurrent": [net_checks.deep_lstm, net_checks.deep_rnn, net_checks.deep_conv_lstm],
    "snippets.nets.frames": [time.frames, time.masks_of_chunks],
    "snippets.layers.loss": [units.softmax_loss, units.softmax_refuses],
    "snippets.data.flow.warp": [flow.warp, flow.resize, flow.smooth_and_median],
    "snippets.data.flow.tvl1": [
        flow.iterate,
        flow.energy,
        flow.known_motion,
        flow.each_pair_alone,
        flow.stopping,
        flow.between_sizes,
        flow.parameters,
    ],
    "snippets.data.flow.images": [flow.quantising, flow.flow_colours],
    "snippets.data.augment": [flow.flow_crop],
}
