"""What every layer is made of. Read `base` first.

base      what a layer promises, chains of layers, initial weights
branches  layers side by side (+ branches.cu)
window    where sliding windows stand: kernel, stride, padding; blocks of rows
check     gradient checks: is the backward pass the derivative of the forward pass?
"""
