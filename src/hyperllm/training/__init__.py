"""Training; knows no model and no manifold."""
