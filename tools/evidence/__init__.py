"""What articles on vanishing gradients claim of remedies, put to the test: `make evidence`."""
