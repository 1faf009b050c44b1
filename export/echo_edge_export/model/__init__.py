"""Echo in PyTorch: frontend, encoder and heads, whole and as one streaming step."""
