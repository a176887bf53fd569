"""The commands of ``tfar``: a module for each, with its arguments and what it does.

The first line of a module's docstring is what ``tfar --help`` says of it. What needs Keras is imported when the command
runs, so that help and mistakes are answered at once.
"""
