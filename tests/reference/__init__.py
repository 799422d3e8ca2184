"""Float64 NumPy transcriptions of the paper's equations, written for reading, not for speed."""
