"""Chains as files: run one, save one, and replay what made an image."""
