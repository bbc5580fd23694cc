"""The equations of the course in NumPy float64, forward and backward; one module a topic."""
