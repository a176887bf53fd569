"""The networks of the five papers, one module per paper."""

from tfar.models.interface import call, channels, input_names, main_output, rgb_form
from tfar.models.registry import BUILDERS, SYSTEMS, build, named_recipe

__all__ = ["BUILDERS", "SYSTEMS", "build", "call", "channels", "input_names", "main_output", "named_recipe", "rgb_form"]
