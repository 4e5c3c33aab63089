"""Clip models: the families, pretrained pipelines, wrappers, and the Gaussian oracle they are tested beside."""
