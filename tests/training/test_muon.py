import keras
import numpy as np
import pytest
from keras import ops

from tfar.training.muon import ConvolutionMuon


def convolution(shape, seed=0):
    value = np.random.default_rng(seed).normal(0, 0.1, shape).astype("float32")
    return keras.Variable(value, name="kernel")


def stepped(variable, gradient, steps=1, **options):
    optimizer = ConvolutionMuon(0.1, **options)
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return optimizer


@pytest.mark.parametrize("shape", [(3, 3, 32, 64), (1, 1, 128, 32), (3, 3, 16, 512), (1, 1, 32, 128)])
def test_the_step_is_that_of_keras_on_the_flattened_kernel(shape):
    gradient = np.random.default_rng(1).normal(size=shape).astype("float32")
    kernel, matrix = convolution(shape), keras.Variable(convolution(shape).numpy().reshape(-1, shape[-1]))
    stepped(kernel, gradient, steps=2)
    reference = keras.optimizers.Muon(0.1, weight_decay=None, adam_weight_decay=None)
    reference.build([matrix])
    for _ in range(2):
        reference.apply([ops.convert_to_tensor(gradient.reshape(matrix.shape))], [matrix])
    moved = np.abs(matrix.numpy() - convolution(shape).numpy().reshape(matrix.shape)).max()
    np.testing.assert_allclose(kernel.numpy().reshape(matrix.shape), matrix.numpy(), atol=1e-4 * moved)


def test_a_step_is_nearly_orthogonal():
    kernel, before = convolution((3, 3, 32, 64)), convolution((3, 3, 32, 64)).numpy()
    gradient = np.random.default_rng(1).normal(size=kernel.shape).astype("float32")
    gradient[..., :32] *= 100
    stepped(kernel, gradient)
    singular = np.linalg.svd((kernel.numpy() - before).reshape(-1, 64), compute_uv=False) / (0.1 * 0.2 * np.sqrt(288))
    assert 0.5 < singular.min() < singular.max() < 1.3


@pytest.mark.parametrize("shape", [(3, 3, 3, 32), (3, 3, 32, 12), (64,), (16, 64), (3, 3, 128, 512)], ids=str)
def test_everything_else_takes_the_step_of_adam(shape):
    variable, reference = convolution(shape), convolution(shape)
    gradient = np.random.default_rng(1).normal(size=shape).astype("float32")
    stepped(variable, gradient, steps=3, adam_ratio=0.25, beta_1=0.8, beta_2=0.9)
    adam = keras.optimizers.Adam(0.025, beta_1=0.8, beta_2=0.9)
    adam.build([reference])
    for _ in range(3):
        adam.apply([ops.convert_to_tensor(gradient)], [reference])
    np.testing.assert_allclose(variable.numpy(), reference.numpy(), atol=1e-5)


def test_clipping_bounds_what_the_momentum_gets():
    kernel = convolution((3, 3, 32, 64))
    optimizer = stepped(kernel, np.ones(kernel.shape, "float32"), global_clipnorm=1e-3)
    assert np.linalg.norm(optimizer.momentums[0].numpy()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "kept"), [((3, 3, 32, 64), 0.98), ((3, 3, 128, 512), 0.98), ((3, 3, 3, 32), 0.98), ((64,), 1.0)], ids=str
)
def test_kernels_decay_and_biases_do_not(shape, kept):
    for weight_decay, share in ((0.2, kept), (0.0, 1.0)):
        variable = convolution(shape)
        stepped(variable, np.zeros(shape, "float32"), weight_decay=weight_decay)
        np.testing.assert_allclose(variable.numpy(), share * convolution(shape).numpy(), rtol=1e-6)
