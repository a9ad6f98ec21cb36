"""A video of any length through a network in constant memory."""
