"""The version, apart so that building does not import torch."""

__version__ = "0.1.0.dev0"
