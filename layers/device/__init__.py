"""Where arrays live and how kernels run. Read `xp` first, then `launch`.

xp         which array library an array belongs to; scratch memory; the number of usable cores
launch     run a CUDA kernel, after checking its arguments
cu_source  what a `.cu` file declares
on_host    the same kernels through the host's C++ compiler, on NumPy arrays
watch      which thread of a kernel reads and writes what, on the host
container  limits of memory and processor time that a container sets

The kernels themselves are not here: each stands in a `.cu` file beside its layer.
"""
