"""Muon for convolutions."""

import keras
from keras import ops

LARGEST_SIDE = 256  # of the smaller side of a matrix; beyond, its iterations cost more than they bring
FEWEST_CHANNELS = 16  # kernels with fewer on either side face pixels: the first and the last layers


class ConvolutionMuon(keras.optimizers.Muon):
    """Muon (Jordan et al., 2024) on the kernels of convolutions, and Adam on everything else.

    A kernel ``(height, width, in, out)`` is taken as the matrix ``(height * width * in, out)``, and its momentum is
    made nearly orthogonal by five Newton-Schulz steps. Keras's own Muon gives all kernels of convolutions to AdamW. The
    update is 0.2 sqrt(largest side) times the rate, as large as Adam's (Liu et al., arXiv:2502.16982).

    An orthogonal step is as large in the directions of noise as in those of the gradient, so at a high rate it
    turns off units of ReLU for good (docs/training.md).

    Args:
        learning_rate: of Muon, a number or a schedule.
        adam_ratio: Adam's rate in units of Muon's.
        beta_1, beta_2: Adam's momenta.
        weight_decay: decoupled (Loshchilov and Hutter, ICLR 2019): the share of every kernel, Adam's too, that a step
            takes away, in units of Muon's rate. Biases do not decay.
        global_clipnorm: as in Keras's optimizers.
    """

    def __init__(
        self,
        learning_rate,
        *,
        adam_ratio: float = 0.5,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        weight_decay: float = 0.0,
        global_clipnorm: float | None = None,
    ):
        super().__init__(
            learning_rate,
            adam_lr_ratio=adam_ratio,
            adam_beta_1=beta_1,
            adam_beta_2=beta_2,
            global_clipnorm=global_clipnorm,
            weight_decay=weight_decay or None,
            adam_weight_decay=weight_decay or None,
            name="muon",
        )

    def build(self, variables):
        if not self.built:
            self.exclude_from_weight_decay([variable for variable in variables if len(variable.shape) < 2])
        super().build(variables)

    def _should_use_adamw(self, variable):
        shape = variable.shape
        if len(shape) != 4 or min(shape[2:]) < FEWEST_CHANNELS:
            return True
        return min(_matrix_shape(shape)) > LARGEST_SIDE

    def lr_adjust(self, x):
        return x * (max(_matrix_shape(x.shape)) ** 0.5 * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """The same iteration on the smaller Gram matrix: X becomes p(X X^T) X, and only p is iterated."""
        matrix = ops.reshape(x, _matrix_shape(x.shape))
        tall = matrix.shape[0] > matrix.shape[1]
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        transposed = ops.transpose(matrix)
        gram = ops.matmul(transposed, matrix) if tall else ops.matmul(matrix, transposed)
        product = identity = ops.eye(gram.shape[0], dtype=gram.dtype)
        for _ in range(steps):
            factor = self.muon_a * identity + self.muon_b * gram + self.muon_c * ops.matmul(gram, gram)
            product = ops.matmul(factor, product)
            gram = ops.matmul(ops.matmul(factor, gram), factor)
        matrix = ops.matmul(matrix, product) if tall else ops.matmul(product, matrix)
        return ops.reshape(matrix, x.shape)


def _matrix_shape(shape) -> tuple[int, int]:
    height, width, channels, filters = shape
    return height * width * channels, filters
