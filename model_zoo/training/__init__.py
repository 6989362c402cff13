"""What is learned from the runs: labels, features, models, and their ONNX graphs."""
