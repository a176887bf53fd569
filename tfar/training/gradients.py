"""Gradients on either backend behind the interface of ``tf.GradientTape``."""

import keras

if keras.backend.backend() == "tensorflow":
    from tensorflow import GradientTape
elif keras.backend.backend() == "torch":
    import torch

    class GradientTape:  # type: ignore[no-redef]
        """Autograd with the interface of ``tf.GradientTape``."""

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return False

        def gradient(self, loss, variables):
            """Gradients of a scalar with respect to trainable variables, None where it does not depend on one."""
            return torch.autograd.grad(loss, [variable.value for variable in variables], allow_unused=True)
else:
    raise ImportError(f"training needs the tensorflow or the torch backend of Keras, not {keras.backend.backend()}")
