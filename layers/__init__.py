"""The mathematics: one operation per file, with its equations, its forward and its backward pass written out.

Read core/base.py (what a layer is), then linear, conv and lstm. A CUDA twin stands in the `.cu` file of the same name,
and the functions that launch it, `..._cuda`, at the foot of the Python file. `..._plain` is the equation as it stands,
beside the fast version, and the tests' reference.

one frame       conv pool lrn lcn inception
vectors         linear relu dropout
over time       temporal time_conv rnn lstm conv_lstm
loss            softmax and cross-entropy
core/           what layers are made of, and gradient checks
fast/           convolution in less time on a CPU
device/         array libraries, and how kernels run

Not here: networks (`nets`), optimisers and training loops (`training`).
"""
