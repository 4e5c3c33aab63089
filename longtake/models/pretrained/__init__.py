"""Pretrained diffusers video pipelines as clip models: folders, families, and the model itself.

`folder` and `families` need no torch, so that planning stays instant; `pipeline` holds the weights.
"""
