"""Training: everything that needs PyTorch. Nothing outside imports it."""
