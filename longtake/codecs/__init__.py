"""Codecs: video to latents or tokens, and back."""
