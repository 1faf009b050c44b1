"""PyTorch graphs to ONNX, TFLite and ExecuTorch files."""
