"""What a layer is, how its gradients are checked, and the windows that slide over images."""
