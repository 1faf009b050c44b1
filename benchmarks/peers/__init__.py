"""The whole job beside graphs of the shapes of public models."""
